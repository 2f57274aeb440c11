"""The contract of all records of reactions: what operators see, switch, retry and skip."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from datetime import UTC, datetime
from uuid import UUID

import pytest
from msgspec import Struct
from uuid_utils.compat import uuid7

from application.reactions.admin import NO_WORKER, ParkedUser, ReactionRecords, Skip
from infrastructure.database import Database
from infrastructure.reactions.records import PostgresReactionRecords
from tests.support.doubles.reactions import InMemoryReactionRecords
from tests.support.views.directory import execute

_PARK = """
INSERT INTO reaction_runs (tenant, reaction, event_id, position, stream, state, error, tries,
    parked_at) VALUES ('main', %s, %s, %s, %s, 'parked', %s, %s, %s)"""


class RecordsUnderTest(Struct, frozen=True):
    """`park` parks a user at a position."""

    records: ReactionRecords
    park: Callable[[str, int], Awaitable[UUID]]


def parked_at(position: int) -> ParkedUser:
    return ParkedUser(
        user=uuid7(),
        position=position,
        event_id=uuid7(),
        type=None,
        error="refused",
        tries=8,
        parked_at=datetime(2026, 1, 2, tzinfo=UTC),
        waiting=0,
    )


@pytest.fixture(params=["memory", "postgres"])
async def under_test(request: pytest.FixtureRequest) -> AsyncGenerator[RecordsUnderTest]:
    if request.param == "memory":
        memory = InMemoryReactionRecords()

        async def place(name: str, position: int) -> UUID:
            parked = parked_at(position)
            memory.place(name, parked)
            return parked.user

        yield RecordsUnderTest(memory, place)
        return
    url: str = request.getfixturevalue("database_url")

    async def insert(name: str, position: int) -> UUID:
        it = parked_at(position)
        values = (name, it.event_id, position, it.user, it.error, it.tries, it.parked_at)
        await execute(url, _PARK, *values)
        return it.user

    async with Database.open(url) as database:
        yield RecordsUnderTest(PostgresReactionRecords(database), insert)


async def test_nothing_is_stored_at_first(under_test: RecordsUnderTest) -> None:
    stored = await under_test.records.stored()
    assert (list(stored.items), stored.position, stored.head) == ([], 0, 0)


async def test_a_reaction_is_switched_before_any_worker_has_started(
    under_test: RecordsUnderTest,
) -> None:
    records = under_test.records
    await records.switch("greet", "token:a", enabled=False)
    (off,) = (await records.stored()).items
    assert (off.enabled, off.missing, off.changed_by) == (False, NO_WORKER, "token:a")
    await records.switch("greet", "token:b", enabled=True)
    (on,) = (await records.stored()).items
    assert (on.enabled, on.changed_by) == (True, "token:b")


async def test_a_repeated_switch_changes_nothing(under_test: RecordsUnderTest) -> None:
    records = under_test.records
    await records.switch("greet", "token:a", enabled=True)
    before = await records.stored()
    await records.switch("greet", "token:b", enabled=True)
    assert await records.stored() == before


async def test_parked_users_are_counted_and_listed_by_position(
    under_test: RecordsUnderTest,
) -> None:
    records = under_test.records
    await records.switch("greet", "token:a", enabled=True)
    users = [await under_test.park("greet", position) for position in (3, 1, 2)]
    await under_test.park("other", 4)
    (greet,) = (await records.stored()).items
    assert greet.parked == 3
    found = await records.parked("greet", 0, 10)
    assert [each.user for each in found] == [users[1], users[2], users[0]]
    assert (found[0].error, found[0].tries, found[0].waiting) == ("refused", 8, 0)
    assert [each.position for each in await records.parked("greet", 1, 1)] == [2]


async def test_a_retry_ends_the_parking(under_test: RecordsUnderTest) -> None:
    records = under_test.records
    await records.switch("greet", "token:a", enabled=True)
    user = await under_test.park("greet", 1)
    assert not await records.retry("greet", uuid7())
    assert not await records.retry("other", user)
    assert await records.retry("greet", user)
    assert not await records.retry("greet", user)
    assert await records.parked("greet", 0, 10) == []


async def test_a_skip_is_done_once(under_test: RecordsUnderTest) -> None:
    records = under_test.records
    await records.switch("greet", "token:a", enabled=True)
    user = await under_test.park("greet", 1)
    skip = Skip(id=uuid7(), reason="left", actor="token:a")
    assert not await records.skip("greet", uuid7(), skip)
    assert await records.skip("greet", user, skip)
    assert await records.skip("greet", user, skip)
    assert not await records.skip("greet", user, Skip(id=uuid7(), reason="left", actor="token:a"))
    assert await records.parked("greet", 0, 10) == []


async def test_parked_users_of_a_disabled_reaction_are_no_longer_shown(
    under_test: RecordsUnderTest,
) -> None:
    records = under_test.records
    await records.switch("greet", "token:a", enabled=True)
    await under_test.park("greet", 0)
    await records.switch("greet", "token:a", enabled=False)
    assert await records.parked("greet", -1, 10) == []
    (greet,) = (await records.stored()).items
    assert greet.parked == 0
