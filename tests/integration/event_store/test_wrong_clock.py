"""A clock that was two years ahead once: what works all the same, and the way back of the docs."""

import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Final

import pytest

from application.context import Context, IdempotencyKey
from application.errors import NoSuchState
from application.users.service import UserService
from domain.user.commands import ChangeUser
from domain.values import PersonName
from infrastructure.housekeeping.postgres import statement_of
from infrastructure.keys import MasterKeys
from infrastructure.server_checks import log_ahead_seconds
from infrastructure.telemetry.backlog import PostgresBacklog
from interfaces.composition.event_store import EventStore, open_event_store
from tests.support.log.drafts import registration
from tests.support.servers.rollbook import ROOT
from tests.support.views.directory import execute

PAGE: Final = ROOT / "docs" / "operations.md"
# As if the last batch had been recorded under a clock that is two years ahead.
AHEAD: Final = """
UPDATE stored_events SET recorded_at = recorded_at + interval '2 years'
WHERE notification_id = (SELECT max(notification_id) FROM stored_events)"""
TIMES: Final = "SELECT recorded_at FROM stored_events ORDER BY notification_id"
YEAR: Final = timedelta(days=365)


@pytest.fixture
async def store(database_url: str, master_keys: str) -> AsyncIterator[EventStore]:
    async with open_event_store(database_url, MasterKeys.parse(master_keys)) as store:
        await store.log.append(registration(email="before@example.org"))
        await store.log.append(registration(email="during@example.org"))
        await execute(database_url, AHEAD)
        yield store


def way_back() -> str:
    """The statements of the section on a wrong clock."""
    section = PAGE.read_text().partition("## A wrong clock")[2]
    (statements,) = re.findall(r"```sql\n(.*?)```", section.partition("\n## ")[0], re.DOTALL)
    return statements


async def test_events_are_found_and_receipts_expire_although_the_log_is_ahead(
    store: EventStore, database_url: str
) -> None:
    recorded = [
        event
        for n in range(3)
        for event in (
            await store.log.append(registration(email=f"{n}@example.org", key=f"k{n}"))
        ).events
    ]
    assert all(each.recorded_at > datetime.now(UTC) + YEAR for each in recorded)
    for each in recorded:
        assert await store.feed.event(each.event_id) == each
    await execute(database_url, "UPDATE receipts SET recorded_at = recorded_at - interval '25 h'")
    assert await execute(database_url, statement_of("receipts").decode()) == [(3, True)]


async def test_doctor_and_metrics_show_how_far_the_log_is_ahead(
    store: EventStore, database_url: str
) -> None:
    backlog = await PostgresBacklog(store.database).read()
    assert backlog.ahead_seconds > YEAR.total_seconds()
    assert await log_ahead_seconds(database_url) > YEAR.total_seconds()


async def test_the_documented_way_back_gives_the_events_their_times_again(
    store: EventStore, database_url: str
) -> None:
    users = UserService(store.log)
    appended = await store.log.append(registration(email="after@example.org"))
    user, now = appended.events[0].stream, datetime.now(UTC)
    with pytest.raises(NoSuchState):
        await users.user_at(user, at=now)
    await execute(database_url, way_back())
    times = [time for (time,) in await execute(database_url, TIMES)]
    assert times == sorted(set(times))
    assert abs(times[-1] - now) < timedelta(minutes=1)
    assert (await users.user_at(user, at=datetime.now(UTC))).version == 1
    context = Context(actor="token:t", correlation_id="c", idempotency=IdempotencyKey("k", b""))
    changed = await users.execute(user, ChangeUser(name=PersonName.parse("New")), context)
    assert changed.user.updated_at - now < timedelta(minutes=1)
