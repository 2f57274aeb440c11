"""Verification: a fresh build that is compared and dropped; a repair switches if they differ."""

from collections.abc import AsyncGenerator, Sequence
from typing import Any
from uuid import UUID

import pytest
from msgspec import Struct

from application.jobs.model import JobCancelled
from application.projector.generations import RebuildUnderWay
from domain.user.events import UserErased
from infrastructure.views.generations.expiry import PostgresExpiredGenerations
from tests.integration.views.test_generations import append, registered, renamed, serving
from tests.support.views.directory import execute
from tests.support.views.rebuilding import Rebuilder

_USERS = (
    "SELECT id, version, chain, partition, shown, name, name_key, words::text FROM {} ORDER BY id"
)
_HEADS = "SELECT id, version, chain, partition, shown, role FROM {} ORDER BY id"
_COUNTERS = (
    "SELECT counter, sum(value) FROM {}_counters GROUP BY 1 HAVING sum(value) <> 0 ORDER BY 1"
)


@pytest.fixture
async def rebuilder(database_url: str) -> AsyncGenerator[Rebuilder]:
    """Without running projectors."""
    async with Rebuilder.open(database_url) as rebuilder:
        yield rebuilder


async def three_users(rebuilder: Rebuilder) -> list[UUID]:
    """Three users, the second renamed; the rows from before are in tables named `before_…`."""
    async with rebuilder.projecting():
        users = [await rebuilder.read_side.record(registered(name)) for name in ("A", "B", "C")]
        users.sort()
        await _caught_up(rebuilder)
        for table in ("users", "headcount"):
            await execute(rebuilder.url, f"CREATE TABLE before_{table} AS TABLE {table}_g1")
        await renamed(rebuilder, users[1], "B two")
        await _caught_up(rebuilder)
    return users


async def _caught_up(rebuilder: Rebuilder) -> None:
    for name in rebuilder.projections:
        await rebuilder.caught_up(name)


async def table_of(rebuilder: Rebuilder, name: str) -> str:
    """The table that serves."""
    query = "SELECT generation FROM projections WHERE name = %s"
    return f"{name}_g{(await execute(rebuilder.url, query, name))[0][0]}"


async def state(rebuilder: Rebuilder) -> list[Any]:
    """All that is stored of the serving generations."""
    users, heads = [await table_of(rebuilder, name) for name in ("users", "headcount")]
    queries = (_USERS.format(users), _HEADS.format(heads), _COUNTERS.format(heads))
    return [await execute(rebuilder.url, query) for query in queries]


_STRAY = UUID("00000000-0000-0000-0000-000000000000")


class Damage(Struct, frozen=True):
    """A statement on the second user, and the differences it makes: users by number, counters."""

    statement: str
    users: tuple[int | UUID, ...] = (1,)
    counters: tuple[str, ...] = ()


_USERS_DAMAGED = (
    Damage("DELETE FROM {} WHERE id = %s"),
    Damage("DELETE FROM {} WHERE id <> %s", (0, 2)),
    Damage("UPDATE {} SET name = 'Somebody' WHERE id = %s"),
    Damage("UPDATE {} SET chain = 'wrong' WHERE id = %s"),
    Damage("UPDATE {} SET version = 99 WHERE id = %s"),
    Damage("UPDATE {} SET name_key = 'zzz' WHERE id = %s"),
    Damage("UPDATE {} SET words = '' WHERE id = %s"),
    Damage("UPDATE {} SET partition = 3 WHERE id = %s"),
    Damage("UPDATE {} SET shown = false WHERE id = %s"),
    Damage("UPDATE {} SET attributes = '[7]' WHERE id = %s"),
    # Its last event is missing.
    Damage(
        """WITH gone AS (DELETE FROM {0} WHERE id = %s RETURNING id)
        INSERT INTO {0} SELECT b.* FROM before_users b JOIN gone USING (id)"""
    ),
)
_HEADCOUNT_DAMAGED = (
    Damage("DELETE FROM {} WHERE id = %s"),
    Damage("UPDATE {} SET role = 'other' WHERE id = %s"),
    Damage(
        "UPDATE {}_counters SET value = 2 * value WHERE %s::uuid IS NOT NULL",
        (),
        ("registered", "role:member", "status:active"),
    ),
    Damage(
        "INSERT INTO {}_counters SELECT 'role:x', 5, 1 WHERE %s::uuid IS NOT NULL", (), ("role:x",)
    ),
    Damage(
        "DELETE FROM {}_counters WHERE %s::uuid IS NOT NULL AND counter ~ 'role'",
        (),
        ("role:member",),
    ),
    # A row whose stream has no event.
    Damage(
        f"""INSERT INTO {{0}} SELECT '{_STRAY}', version, chain, partition, shown,
        status, role, registered, before_deletion FROM {{0}} WHERE id = %s""",
        (_STRAY,),
    ),
)


@pytest.mark.parametrize(
    ("name", "damages"), [("users", _USERS_DAMAGED), ("headcount", _HEADCOUNT_DAMAGED)]
)
async def test_every_difference_is_named_and_repaired(
    rebuilder: Rebuilder, name: str, damages: Sequence[Damage]
) -> None:
    users = await three_users(rebuilder)
    truth = await state(rebuilder)
    for damage in damages:
        table = await table_of(rebuilder, name)
        await execute(rebuilder.url, damage.statement.format(table), users[1])
        damaged = await state(rebuilder)
        found = await rebuilder.verify(name)
        compared = found["compared"]
        wrong = [users[each] if isinstance(each, int) else each for each in damage.users]
        assert [UUID(each) for each in compared["streams"]] == wrong, damage
        assert compared["differing"] == len(wrong)
        counters = {each.partition(":20")[0] for each in compared["counters"]}
        assert counters == set(damage.counters), damage
        assert (found["right"], found["switched"], compared["moving"]) == (False, False, 0)
        assert await state(rebuilder) == damaged
        repaired = await rebuilder.verify(name, repair=True)
        assert (repaired["right"], repaired["switched"]) == (True, True)
        assert await state(rebuilder) == truth, damage
        again = await rebuilder.verify(name, repair=True)
        assert (again["right"], again["switched"]) == (True, False)
        assert (again["compared"]["differing"], again["compared"]["counters"]) == (0, [])


async def test_a_verification_leaves_nothing_behind_and_takes_no_way_back(
    rebuilder: Rebuilder,
) -> None:
    await three_users(rebuilder)
    async with rebuilder.projecting():
        await rebuilder.rebuild()
        for _ in range(2):
            assert (await rebuilder.verify())["right"]
            assert await rebuilder.generations() == [(1, "following"), (2, "following")]
        assert await PostgresExpiredGenerations(rebuilder.database).drop_expired() == []
    assert await rebuilder.previous_generations.previous("users") == 1
    checkpoints = "SELECT generation FROM checkpoints WHERE projection = 'users' ORDER BY 1"
    assert await execute(rebuilder.url, checkpoints) == [(1,), (2,)]
    tables = "SELECT count(*) FROM pg_tables WHERE tablename ~ '^users_g'"
    assert await execute(rebuilder.url, tables) == [(2,)]


async def test_the_generation_before_a_repair_can_be_rolled_back_to(rebuilder: Rebuilder) -> None:
    await three_users(rebuilder)
    await execute(rebuilder.url, "UPDATE users_g1 SET name = 'X'")
    assert (await rebuilder.verify(repair=True))["switched"]
    assert await serving(rebuilder) == 2
    assert await rebuilder.previous_generations.previous("users") == 1


async def test_a_cancelled_verification_drops_its_generation(rebuilder: Rebuilder) -> None:
    await three_users(rebuilder)

    async def report(done: int, total: int | None) -> None:
        raise JobCancelled

    with pytest.raises(JobCancelled):
        await rebuilder.rebuild(report=report, switch_if="never")
    assert await rebuilder.generations() == [(1, "following")]


async def test_a_paused_projection_is_compared_except_streams_behind_its_position(
    rebuilder: Rebuilder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infrastructure.views.generations.compare._TIMEOUT_SECONDS", 0.2)
    users = await three_users(rebuilder)
    await rebuilder.admin.pause("users", "a look", "token:admin")
    await renamed(rebuilder, users[0], "A two")
    await execute(rebuilder.url, "UPDATE users_g1 SET name = 'X' WHERE id = %s", users[1])
    compared = (await rebuilder.verify())["compared"]
    assert (compared["streams"], compared["moving"]) == ([str(users[1])], 1)


async def test_only_one_build_of_a_projection_runs_at_a_time(
    rebuilder: Rebuilder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infrastructure.views.generations.store._TIMEOUT_SECONDS", 0.2)
    await three_users(rebuilder)
    users = rebuilder.projections["users"]
    async with rebuilder.ports.generations.build(users, "another"):
        for repair in (False, True):
            with pytest.raises(RebuildUnderWay):
                await rebuilder.verify(repair=repair)
        assert (await rebuilder.verify("headcount"))["right"]


@pytest.fixture
def short_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without projectors, the two generations never come to the same position."""
    monkeypatch.setattr("infrastructure.views.generations.compare._TIMEOUT_SECONDS", 0.2)


@pytest.mark.usefixtures("short_wait")
async def test_a_person_erased_after_the_checkpoint_is_no_difference(rebuilder: Rebuilder) -> None:
    async with rebuilder.projecting():
        user = await rebuilder.read_side.record(registered("Secret"))
        other = await rebuilder.read_side.record(registered("Other"))
        await _caught_up(rebuilder)
    await append(rebuilder, user, UserErased(), 1)
    # The new generation begins behind the erasure, or before it if it is built again.
    for _ in range(2):
        found = await rebuilder.verify()
        assert (found["right"], found["compared"]["moving"]) == (True, 1)
    # A key that was deleted without an erasure is a difference.
    await execute(rebuilder.url, "DELETE FROM subject_keys WHERE subject = %s", other)
    assert (await rebuilder.verify())["compared"]["streams"] == [str(other)]


@pytest.mark.usefixtures("short_wait")
async def test_a_repair_before_a_pending_erasure_shows_nothing_of_the_person(
    rebuilder: Rebuilder,
) -> None:
    async with rebuilder.projecting():
        user = await rebuilder.read_side.record(registered("Secret"))
        await rebuilder.read_side.record(registered("Other"))
        await _caught_up(rebuilder)
    await append(rebuilder, user, UserErased(), 1)
    await execute(rebuilder.url, "UPDATE users_g1 SET chain = 'wrong'")
    found = await rebuilder.verify(repair=True)
    assert (found["right"], found["switched"], len(found["compared"]["streams"])) == (True, True, 1)
    status = "SELECT status, name FROM users_g2 WHERE id = %s"
    assert await execute(rebuilder.url, status, user) == [("erased", None)]
    async with rebuilder.projecting():
        await _caught_up(rebuilder)
    assert await rebuilder.differences(since=2) == []
