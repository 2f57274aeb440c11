"""Filters of events: which types, kinds and users match."""

from typing import ClassVar
from uuid import UUID

import pytest
from msgspec.structs import replace
from uuid_utils.compat import uuid7

from application.log.event_log import FeedPage
from application.log.search import EventFilter
from domain.event import Event
from tests.support.doubles.event_log import InMemoryEventLog
from tests.support.log.drafts import change, registration

EVERYTHING = EventFilter.parse((), user=None, every_kind=False)


class TokenCreated(Event, frozen=True):
    topic: ClassVar[str] = "token.created"


@pytest.fixture
def log() -> InMemoryEventLog:
    return InMemoryEventLog(uuid7)


async def record_users(log: InMemoryEventLog, count: int) -> list[UUID]:
    """Register each user and change its role."""
    streams = [uuid7() for _ in range(count)]
    for stream in streams:
        await log.append(registration(stream))
        await log.append(change(stream, 1))
    return streams


async def record_token(log: InMemoryEventLog) -> None:
    await log.append(replace(change(uuid7(), 0, TokenCreated()), kind="token"))


async def find(log: InMemoryEventLog, wanted: EventFilter) -> FeedPage:
    return await log.search(0, wanted, 100)


def topics(found: FeedPage) -> list[str]:
    return [recorded.event.topic for recorded in found.events]


async def test_a_search_without_a_filter_finds_every_event_of_users(
    log: InMemoryEventLog,
) -> None:
    await record_users(log, 1)
    await record_token(log)
    found = await find(log, EVERYTHING)
    assert topics(found) == ["user.registered", "user.role_changed"]
    assert found.reached == 3


async def test_types_match_by_name_and_by_kind(log: InMemoryEventLog) -> None:
    await record_users(log, 1)
    by_name = EventFilter.parse(("user.role_changed", "no.such"), user=None, every_kind=False)
    by_kind = EventFilter.parse(("user.*",), user=None, every_kind=False)
    assert topics(await find(log, by_name)) == ["user.role_changed"]
    assert topics(await find(log, by_kind)) == ["user.registered", "user.role_changed"]


@pytest.mark.parametrize("unknown", ["no.such", "*", "", "user", "userx.*", ".*"])
async def test_unknown_types_match_nothing_and_the_search_continues(
    log: InMemoryEventLog, unknown: str
) -> None:
    await record_users(log, 2)
    wanted = EventFilter.parse((unknown,), user=None, every_kind=True)
    assert await find(log, wanted) == FeedPage(events=[], reached=4)


@pytest.mark.parametrize("requested", ["token.*", "token.created"])
async def test_other_kinds_are_found_only_when_requested_and_allowed(
    log: InMemoryEventLog, requested: str
) -> None:
    await record_token(log)
    allowed = EventFilter.parse((requested,), user=None, every_kind=True)
    denied = EventFilter.parse((requested,), user=None, every_kind=False)
    unrequested = EventFilter.parse((), user=None, every_kind=True)
    assert topics(await find(log, allowed)) == ["token.created"]
    assert topics(await find(log, denied)) == []
    assert topics(await find(log, unrequested)) == []


async def test_one_users_events_are_found_among_those_of_others(log: InMemoryEventLog) -> None:
    _, wanted, _ = await record_users(log, 3)
    found = await find(log, EventFilter.parse((), user=wanted, every_kind=False))
    assert {recorded.stream for recorded in found.events} == {wanted}
    assert found.reached == 6
