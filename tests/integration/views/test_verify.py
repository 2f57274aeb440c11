"""Verification of views: all that was lost, doubled or changed is named and repaired."""

from collections.abc import AsyncGenerator, Sequence
from typing import Any
from uuid import UUID

import pytest
from msgspec import Struct
from msgspec.structs import replace

from application.errors import Unavailable
from domain.user.events import PreviousName, UserRegistered, UserRenamed
from infrastructure.views.repair.repairs import PostgresRepairs
from projections.headcount import HEADCOUNT
from projections.registry import PROJECTIONS
from tests.integration.views.test_generations import registered, renamed
from tests.support.views.directory import execute
from tests.support.views.rebuilding import Rebuilder
from tests.support.views.registrations import NEWCOMERS
from tests.support.views.verifying import ports_of, verify_projection

SHARED = replace(HEADCOUNT, name="shared", partitions=4)
_USERS = "SELECT id, version, chain, partition, shown, name, name_key, words::text FROM users_g1 ORDER BY id"
_HEADS = "SELECT id, version, chain, partition, shown, role FROM {}_g1 ORDER BY id"
_COUNTERS = (
    "SELECT counter, sum(value) FROM {}_g1_counters GROUP BY 1 HAVING sum(value) <> 0 ORDER BY 1"
)


@pytest.fixture
async def rebuilder(database_url: str) -> AsyncGenerator[Rebuilder]:
    """Without running projectors."""
    projections = [*PROJECTIONS, NEWCOMERS, SHARED]
    async with Rebuilder.open(database_url, projections) as rebuilder:
        yield rebuilder


async def three_users(rebuilder: Rebuilder) -> list[UUID]:
    """Three users, the second renamed; the rows from before are in tables named `before_…`."""
    async with rebuilder.projecting():
        users = [await rebuilder.read_side.record(registered(name)) for name in ("A", "B", "C")]
        users.sort()
        await _caught_up(rebuilder)
        for table in ("users", "headcount", "shared"):
            await execute(rebuilder.url, f"CREATE TABLE before_{table} AS TABLE {table}_g1")
        await renamed(rebuilder, users[1], "B two")
        await _caught_up(rebuilder)
    return users


async def _caught_up(rebuilder: Rebuilder) -> None:
    for name in rebuilder.projections:
        await rebuilder.caught_up(name)


class State(Struct, frozen=True):
    """All that is stored of the projections."""

    users: list[Any]
    heads: list[list[Any]]
    counters: list[list[Any]]


async def state(rebuilder: Rebuilder) -> State:
    url = rebuilder.url
    return State(
        await execute(url, _USERS),
        [await execute(url, _HEADS.format(name)) for name in ("headcount", "shared")],
        [await execute(url, _COUNTERS.format(name)) for name in ("headcount", "shared")],
    )


_STRAY = UUID("00000000-0000-0000-0000-000000000000")


class Damage(Struct, frozen=True):
    """A statement on the second user, and the differences it makes: users by number, counters."""

    statement: str
    users: tuple[int | UUID, ...] = (1,)
    counters: tuple[str, ...] = ()


_USERS_DAMAGED = (
    Damage("DELETE FROM users_g1 WHERE id = %s"),
    Damage("DELETE FROM users_g1 WHERE id <> %s", (0, 2)),
    Damage("UPDATE users_g1 SET name = 'Somebody' WHERE id = %s"),
    Damage("UPDATE users_g1 SET chain = 'wrong' WHERE id = %s"),
    Damage("UPDATE users_g1 SET version = 99 WHERE id = %s"),
    Damage("UPDATE users_g1 SET name_key = 'zzz' WHERE id = %s"),
    Damage("UPDATE users_g1 SET words = '' WHERE id = %s"),
    Damage("UPDATE users_g1 SET partition = 3 WHERE id = %s"),
    Damage("UPDATE users_g1 SET shown = false WHERE id = %s"),
    Damage("UPDATE users_g1 SET attributes = '[7]' WHERE id = %s"),
    # Its last event is missing.
    Damage(
        """WITH gone AS (DELETE FROM users_g1 WHERE id = %s RETURNING id)
        INSERT INTO users_g1 SELECT b.* FROM before_users b JOIN gone USING (id)"""
    ),
)
_HEADCOUNT_DAMAGED = (
    Damage("DELETE FROM headcount_g1 WHERE id = %s"),
    Damage("UPDATE headcount_g1 SET role = 'other' WHERE id = %s"),
    Damage(
        "UPDATE headcount_g1_counters SET value = 2 * value WHERE %s::uuid IS NOT NULL",
        (),
        ("registered", "role:member", "status:active"),
    ),
    Damage(
        "INSERT INTO headcount_g1_counters SELECT 'role:x', 5, 1 WHERE %s::uuid IS NOT NULL",
        (),
        ("role:x",),
    ),
    Damage(
        "DELETE FROM headcount_g1_counters WHERE %s::uuid IS NOT NULL AND counter ~ 'role'",
        (),
        ("role:member",),
    ),
    # A row whose stream has no event.
    Damage(
        f"""INSERT INTO headcount_g1 SELECT '{_STRAY}', version, chain, partition, shown,
        status, role, registered, before_deletion FROM headcount_g1 WHERE id = %s""",
        (_STRAY,),
    ),
)
_SHARED_DAMAGED = (
    Damage("DELETE FROM shared_g1 WHERE id <> %s", (0, 2)),
    Damage(
        """UPDATE shared_g1_counters SET value = 7
        WHERE %s::uuid IS NOT NULL AND counter = 'role:member'""",
        (),
        ("role:member",),
    ),
)


@pytest.mark.parametrize(
    ("name", "damages"),
    [("users", _USERS_DAMAGED), ("headcount", _HEADCOUNT_DAMAGED), ("shared", _SHARED_DAMAGED)],
)
async def test_every_difference_is_named_and_repaired(
    rebuilder: Rebuilder, name: str, damages: Sequence[Damage]
) -> None:
    users = await three_users(rebuilder)
    truth = await state(rebuilder)
    for damage in damages:
        await execute(rebuilder.url, damage.statement, users[1])
        found = await verify_projection(rebuilder, name)
        wrong = [users[each] if isinstance(each, int) else each for each in damage.users]
        counters = {each.partition(":20")[0] for slot in found for each in slot.counters}
        assert sorted(stream for slot in found for stream in slot.streams) == wrong, damage
        assert counters == set(damage.counters), damage
        assert not all(slot.matches for slot in found)
        repaired = await verify_projection(rebuilder, name, repair=True)
        assert all(slot.matches for slot in repaired)
        assert sum(slot.repaired for slot in repaired) == len(wrong)
        assert await state(rebuilder) == truth, damage
        for slot in await verify_projection(rebuilder, name, repair=True):
            assert (slot.matches, slot.repaired, slot.differing) == (True, 0, 0)
            assert (slot.log, slot.counters) == (slot.views, [])


async def test_counts_and_checksums_show_the_partition_that_lost_a_row(
    rebuilder: Rebuilder,
) -> None:
    users = await three_users(rebuilder)
    whole = await verify_projection(rebuilder, "shared")
    assert sum(slot.log.events for slot in whole) == 4
    await execute(rebuilder.url, "DELETE FROM shared_g1 WHERE id = %s", users[1])
    found = await verify_projection(rebuilder, "shared")
    assert [slot.log for slot in found] == [slot.log for slot in whole]
    [lost] = [slot for slot in found if slot.views != slot.log]
    assert lost.log.events - lost.views.events == 2


async def test_a_repair_queues_the_refresh_of_cached_copies(rebuilder: Rebuilder) -> None:
    users = await three_users(rebuilder)
    await execute(rebuilder.url, "UPDATE users_g1 SET name = 'X' WHERE id = %s", users[1])
    await execute(rebuilder.url, "UPDATE headcount_g1_counters SET value = 9")
    for name in ("users", "headcount"):
        await verify_projection(rebuilder, name, repair=True)
    queued = await execute(rebuilder.url, "SELECT projection, stream FROM mended ORDER BY 1")
    assert queued == [("headcount", UUID(int=0)), ("users", users[1])]


async def test_a_paused_projection_and_two_generations_are_compared(rebuilder: Rebuilder) -> None:
    async with rebuilder.projecting():
        user = await rebuilder.read_side.record(registered("A"))
        await rebuilder.caught_up()
        await rebuilder.rebuild()
        await rebuilder.caught_up()
    await rebuilder.admin.pause("users", "a look", "token:admin")
    await execute(rebuilder.url, "UPDATE users_g2 SET name = 'X'")
    found = await verify_projection(rebuilder, "users")
    assert [(slot.generation, list(slot.streams)) for slot in found] == [(1, []), (2, [user])]


async def test_only_one_repair_of_a_generation_runs_at_a_time(
    rebuilder: Rebuilder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infrastructure.views.repair.repairs._TIMEOUT_SECONDS", 0.2)
    await three_users(rebuilder)
    [slots] = await rebuilder.slots.filled(rebuilder.projections["users"])
    async with PostgresRepairs.open(rebuilder.url, slots):
        with pytest.raises(Unavailable):
            await verify_projection(rebuilder, "users", repair=True)
        assert await verify_projection(rebuilder, "users")


async def test_a_long_stream_is_folded_in_pages(
    rebuilder: Rebuilder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("application.verification.verify._PAGE_EVENTS", 7)
    monkeypatch.setattr("application.verification.verify._PAGE_STREAMS", 2)
    monkeypatch.setattr("application.verification.repair._PAGE_EVENTS", 7)
    events = [UserRenamed(name=f"N{n}", previous=PreviousName(f"N{n - 1}")) for n in range(1, 100)]
    zero = UserRegistered(name="N0", email="n@example.org", role="member")
    async with rebuilder.projecting():
        user = await rebuilder.read_side.record(zero, *events)
        await three_users_more(rebuilder)
        await _caught_up(rebuilder)
    await execute(rebuilder.url, "DELETE FROM users_g1 WHERE id = %s", user)
    read = _Counting(ports_of(rebuilder).events_by_stream)
    ports = replace(ports_of(rebuilder), events_by_stream=read)
    [slot] = await verify_projection(rebuilder, "users", repair=True, ports=ports)
    assert (slot.streams, slot.repaired, slot.matches) == ([user], 1, True)
    assert max(read.sizes) <= 7
    rows = await execute(rebuilder.url, "SELECT version, name FROM users_g1 WHERE id = %s", user)
    assert rows == [(100, "N99")]


async def three_users_more(rebuilder: Rebuilder) -> None:
    for name in ("A", "B", "C", "D", "E"):
        await rebuilder.read_side.record(registered(name))


class _Counting:
    """See `EventsByStream`; it records the sizes of its pages."""

    def __init__(self, inner: Any) -> None:
        self.head, self.count = inner.head, inner.count
        self._inner = inner
        self.sizes: list[int] = []

    async def read(self, *asked: Any) -> Any:
        page = await self._inner.read(*asked)
        self.sizes.append(len(page))
        return page
