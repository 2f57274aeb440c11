"""Searching the log: what matches, where one search stops, and where the next one continues."""

from typing import ClassVar
from uuid import UUID

import pytest
from msgspec.structs import replace
from uuid_utils.compat import uuid7

from application.log.event_log import FeedPage
from application.log.search import EventFilter, Found, search
from domain.event import Event, Recorded
from tests.support.doubles.event_log import InMemoryEventLog
from tests.support.log.drafts import change, registration

EVERYTHING = EventFilter.parse((), user=None, every_kind=False)


class TokenCreated(Event, frozen=True):
    topic: ClassVar[str] = "token.created"


class CountingLog(InMemoryEventLog):
    reads = 0

    async def read(self, after: int, limit: int) -> FeedPage:
        self.reads += 1
        return await super().read(after, limit)


@pytest.fixture
def log() -> CountingLog:
    return CountingLog(uuid7)


async def record_users(log: InMemoryEventLog, count: int) -> list[UUID]:
    """Register each user and change its role."""
    streams = [uuid7() for _ in range(count)]
    for stream in streams:
        await log.append(registration(stream))
        await log.append(change(stream, 1))
    return streams


async def record_token(log: InMemoryEventLog) -> None:
    await log.append(replace(change(uuid7(), 0, TokenCreated()), kind="token"))


async def find(
    log: InMemoryEventLog, wanted: EventFilter, after: int = 0, limit: int = 100
) -> Found:
    return await search(log, after, wanted, limit=limit, head=await log.head())


def topics(found: Found) -> list[str]:
    return [recorded.event.topic for recorded in found.events]


async def test_a_search_without_a_filter_finds_every_event_of_users(
    log: CountingLog,
) -> None:
    await record_users(log, 1)
    await record_token(log)
    found = await find(log, EVERYTHING)
    assert topics(found) == ["user.registered", "user.role_changed"]
    assert found.reached == 3


async def test_a_full_page_ends_at_its_last_event(log: CountingLog) -> None:
    await record_users(log, 3)
    first = await find(log, EVERYTHING, limit=4)
    assert (len(first.events), first.reached) == (4, 4)
    rest = await find(log, EVERYTHING, after=first.reached, limit=4)
    assert (len(rest.events), rest.reached) == (2, 6)


async def test_the_end_is_known_without_another_read(log: CountingLog) -> None:
    await record_users(log, 1)
    await find(log, EVERYTHING)
    assert log.reads == 1


async def test_types_match_by_name_and_by_kind(log: CountingLog) -> None:
    await record_users(log, 1)
    by_name = EventFilter.parse(("user.role_changed", "no.such"), user=None, every_kind=False)
    by_kind = EventFilter.parse(("user.*",), user=None, every_kind=False)
    assert topics(await find(log, by_name)) == ["user.role_changed"]
    assert topics(await find(log, by_kind)) == ["user.registered", "user.role_changed"]


@pytest.mark.parametrize("unknown", ["no.such", "*", "", "user", "userx.*", ".*"])
async def test_unknown_types_match_nothing_and_the_search_continues(
    log: CountingLog, unknown: str
) -> None:
    await record_users(log, 2)
    wanted = EventFilter.parse((unknown,), user=None, every_kind=True)
    assert await find(log, wanted) == Found(events=[], reached=4)


@pytest.mark.parametrize("requested", ["token.*", "token.created"])
async def test_other_kinds_are_found_only_when_requested_and_allowed(
    log: CountingLog, requested: str
) -> None:
    await record_token(log)
    allowed = EventFilter.parse((requested,), user=None, every_kind=True)
    denied = EventFilter.parse((requested,), user=None, every_kind=False)
    unrequested = EventFilter.parse((), user=None, every_kind=True)
    assert topics(await find(log, allowed)) == ["token.created"]
    assert topics(await find(log, denied)) == []
    assert topics(await find(log, unrequested)) == []


async def test_one_users_events_are_found_among_those_of_others(log: CountingLog) -> None:
    _, wanted, _ = await record_users(log, 3)
    found = await find(log, EventFilter.parse((), user=wanted, every_kind=False))
    assert {recorded.stream for recorded in found.events} == {wanted}
    assert found.reached == 6


async def test_a_search_that_finds_little_stops_and_can_be_continued(
    log: CountingLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("application.log.search._PAGE", 2)
    monkeypatch.setattr("application.log.search._PAGES", 3)
    streams = await record_users(log, 5)
    wanted = EventFilter.parse((), user=streams[-1], every_kind=False)
    first = await find(log, wanted)
    assert first == Found(events=[], reached=6)
    second = await find(log, wanted, after=first.reached)
    assert [recorded.position for recorded in second.events] == [9, 10]


async def test_events_beyond_the_known_head_may_be_found_too(log: CountingLog) -> None:
    await record_users(log, 1)
    found: Found = await search(log, 0, EVERYTHING, limit=10, head=1)
    last: Recorded[Event] = found.events[-1]
    assert found.reached == last.position == 2
