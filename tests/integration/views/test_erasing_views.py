"""Erasures in the views of Postgres: every generation is known, and no sample of a person stays."""

from collections.abc import AsyncGenerator
from typing import Final
from uuid import UUID

import psycopg
import pytest
from uuid_utils.compat import uuid7

from application.erasure.erased_views import ViewGeneration
from application.errors import Unavailable
from application.users.service import UserService
from domain.user.commands import EraseUser, RegisterUser
from domain.values import EmailAddress, ExternalId, PersonName, Role
from infrastructure.database import Database
from infrastructure.views.generations.erasures import PostgresErasedViews
from tests.support.log.drafts import context
from tests.support.views.directory import ReadSide, execute

NAME: Final = "Zoë Mustermann-Øst"
EMAIL: Final = "zoe.mustermann@example.org"

_SAMPLED: Final = """
SELECT count(*) FROM pg_stats
WHERE tablename = 'users_g1' AND (
    histogram_bounds::text ~* 'mustermann' OR most_common_vals::text ~* 'mustermann'
    OR most_common_elems::text ~* 'mustermann')"""


@pytest.fixture
async def read_side(database_url: str) -> AsyncGenerator[ReadSide]:
    async with ReadSide.open(database_url) as read_side:
        yield read_side


@pytest.fixture
async def views(database_url: str) -> AsyncGenerator[PostgresErasedViews]:
    async with Database.open(database_url) as database:
        yield PostgresErasedViews(database)


async def register(read_side: ReadSide, name: str = NAME, email: str = EMAIL) -> UUID:
    user_id = uuid7()
    command = RegisterUser(
        user_id=user_id,
        name=PersonName.parse(name),
        email=EmailAddress.parse(email),
        role=Role.parse("member"),
        external_id=ExternalId.parse(f"mustermann-{email}"),
        attributes={"known as": name},
    )
    await UserService(read_side.events.log).execute(user_id, command, context(), status=201)
    return user_id


async def erase(read_side: ReadSide, user_id: UUID) -> int:
    outcome = await UserService(read_side.events.log).execute(user_id, EraseUser(), context())
    return outcome.position


async def sampled(url: str) -> int:
    """The number of columns of the users that have a sample of the person."""
    return (await execute(url, _SAMPLED))[0][0]


async def test_every_generation_of_a_view_is_listed_with_its_position(
    database_url: str, read_side: ReadSide, views: PostgresErasedViews
) -> None:
    await register(read_side)
    async with read_side.projecting():
        head = await read_side.caught_up()
    more = """
INSERT INTO generations (tenant, projection, generation, partitions, state)
VALUES ('main', 'users', 2, 1, 'following'), ('main', 'users', 3, 1, 'filling'),
       ('main', 'users', 4, 1, 'dropping'), ('main', 'users', 5, 1, 'dropped')"""
    await execute(database_url, more)
    positions = """
INSERT INTO checkpoints (tenant, projection, generation, partition, position)
VALUES ('main', 'relay', 1, 0, 7), ('main', 'users', 2, 0, 8), ('main', 'users', 3, 0, 9), ('main', 'users', 5, 0, 3)"""
    await execute(database_url, positions)
    assert list(await views.generations()) == [
        ViewGeneration("headcount", 1, True, head),
        ViewGeneration("users", 1, True, head),
        ViewGeneration("users", 2, False, 8),
        ViewGeneration("users", 3, False, 0),
        ViewGeneration("users", 4, False, 0),
    ]


async def test_generations_count_as_dropped_for_a_time_only(
    database_url: str, views: PostgresErasedViews
) -> None:
    await execute(
        database_url,
        """INSERT INTO generations (tenant, projection, generation, partitions, state, touched_at)
        VALUES ('main', 'users', 7, 1, 'dropped', now() - interval '1 hour'),
               ('main', 'users', 8, 1, 'dropped', now()),
               ('main', 'users', 9, 1, 'dropping', now()),
               ('main', 'headcount', 8, 1, 'dropped', now())""",
    )
    assert await views.dropped_since(3500) == [8]
    assert sorted(await views.dropped_since(3700)) == [7, 8]


async def test_the_planners_samples_of_a_person_are_removed(
    database_url: str, read_side: ReadSide, views: PostgresErasedViews
) -> None:
    user_id = await register(read_side)
    await register(read_side, "Yan", "yan@example.org")
    async with read_side.projecting():
        await read_side.caught_up()
        await execute(database_url, "ANALYZE users_g1")
        position = await erase(read_side, user_id)
        await read_side.caught_up()
    assert await sampled(database_url) > 4
    for view in await views.generations():
        await views.finish_erasure(view, position, 10)
    assert await sampled(database_url) == 0


async def test_one_analyze_serves_all_erasures_that_the_view_has_passed(
    database_url: str, read_side: ReadSide, views: PostgresErasedViews
) -> None:
    people = [await register(read_side, "Zoë", f"{n}@example.org") for n in range(3)]
    async with read_side.projecting():
        positions = [await erase(read_side, user_id) for user_id in people[:2]]
        await read_side.caught_up()
        users = (await views.generations())[1]
        for position in reversed(positions):
            await views.finish_erasure(users, position, 10)
        assert await _analysed(database_url) == 1
        later = await erase(read_side, people[2])
        await read_side.caught_up()
        await views.finish_erasure((await views.generations())[1], later, 10)
    assert await _analysed(database_url) == 2


async def _analysed(url: str) -> int:
    statement = "SELECT analyze_count FROM pg_stat_user_tables WHERE relname = 'users_g1'"
    return (await execute(url, statement))[0][0]


async def test_the_views_are_on_disk_after_an_erasure_is_finished(
    database_url: str, read_side: ReadSide, views: PostgresErasedViews
) -> None:
    """Views do not wait for the disk: a crash would bring the person back until they caught up."""
    users = (await views.generations())[1]
    unsynced = """
SET synchronous_commit = off;
INSERT INTO checkpoints (tenant, projection, generation, partition, position)
VALUES ('main', 'relay', 1, 0, 7)"""
    await execute(database_url, unsynced)
    written = (await execute(database_url, "SELECT pg_current_wal_insert_lsn()"))[0][0]
    await views.finish_erasure(users, 0, 10)
    flushed = "SELECT pg_current_wal_flush_lsn() >= %s::pg_lsn"
    assert await execute(database_url, flushed, written) == [(True,)]


async def test_an_erasure_finishes_in_a_generation_that_was_dropped_meanwhile(
    views: PostgresErasedViews,
) -> None:
    await views.finish_erasure(ViewGeneration("users", 99, False, 5), 5, 10)


async def test_an_erasure_finishes_in_a_projection_of_an_earlier_release(
    database_url: str, views: PostgresErasedViews
) -> None:
    rows = "SELECT 'Mustermann' AS name FROM generate_series(1, 2)"
    await execute(database_url, f'CREATE TABLE "left-over_g7" AS {rows}')
    await execute(database_url, "ANALYZE")
    sampled_columns = "SELECT count(*) FROM pg_stats WHERE most_common_vals::text ~ 'Mustermann'"
    assert await execute(database_url, sampled_columns) == [(1,)]
    await execute(database_url, 'UPDATE "left-over_g7" SET name = NULL')
    await views.finish_erasure(ViewGeneration("left-over", 7, True, 5), 5, 10)
    assert await execute(database_url, sampled_columns) == [(0,)]


async def test_an_erasure_that_takes_too_long_can_be_retried(
    database_url: str, read_side: ReadSide, views: PostgresErasedViews
) -> None:
    async with await psycopg.AsyncConnection.connect(database_url) as connection:
        await connection.execute("LOCK TABLE users_g1 IN SHARE UPDATE EXCLUSIVE MODE")
        with pytest.raises(Unavailable):
            await views.finish_erasure(ViewGeneration("users", 1, True, 5), 5, 0.1)
    await views.finish_erasure(ViewGeneration("users", 1, True, 5), 5, 10)


async def test_no_sample_is_taken_of_keys(database_url: str, read_side: ReadSide) -> None:
    """With a sample and the master key, an erased person could be read again."""
    for n in range(3):
        await register(read_side, "Zoë", f"{n}@example.org")
    await execute(database_url, "ANALYZE subject_keys")
    statement = "SELECT attname FROM pg_stats WHERE tablename = 'subject_keys' ORDER BY 1"
    columns = [row[0] for row in await execute(database_url, statement)]
    assert columns == ["master_id", "subject", "tenant"]
