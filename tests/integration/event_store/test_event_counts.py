"""How many events a rebuild will read: told at once, however long the log is."""

import pytest
from uuid_utils.compat import uuid7

from domain.user.events import UserRegistered
from infrastructure.event_store import feed
from tests.support.views.compare_views import events_by_stream_of
from tests.support.views.directory import ReadSide, execute


async def test_few_events_are_counted_and_many_are_estimated(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with ReadSide.open(database_url) as side:
        user = UserRegistered(name="Zoë", email="zoe@example.org", role="member")
        for _ in range(5):
            await side.record(user, stream=uuid7())
        events = events_by_stream_of(side.events)
        head = await side.events.feed.head()
        assert [await events.about_how_many(up_to) for up_to in (0, head - 1, head)] == [0, 4, 5]
        # No more rows are counted than this, whatever the planner knows.
        monkeypatch.setattr(feed, "_MAX_COUNTED", 3)
        assert await events.about_how_many(head) == 3
        await execute(database_url, "ANALYZE stored_events")
        assert await events.about_how_many(head) == 5
        assert await events.about_how_many(2) == 2
