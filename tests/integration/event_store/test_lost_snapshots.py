"""Random lives of users on Postgres with lost and deleted snapshots: the users are the same."""

import asyncio
from random import Random

import psycopg
import uvloop
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from infrastructure.keys import MasterKeys
from interfaces.composition.event_store import open_event_store
from tests.support.log.snapshot_model import DroppingLog, Step, World, histories
from tests.support.servers.postgres import scaled

LIVES_AT_ONCE = 6


@settings(
    max_examples=scaled(8),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    lived=st.lists(histories, min_size=1, max_size=LIVES_AT_ONCE),
    every=st.integers(1, 4),
    seed=st.integers(),
)
def test_with_snapshots_or_without_users_are_the_same(
    database_url: str,
    master_keys: str,
    lived: list[tuple[list[Step], bool]],
    every: int,
    seed: int,
) -> None:
    uvloop.run(_live(database_url, master_keys, lived, every, Random(seed)))


async def _live(
    url: str, master_keys: str, lived: list[tuple[list[Step], bool]], every: int, random: Random
) -> None:
    async with (
        open_event_store(url, MasterKeys.parse(master_keys)) as store,
        await psycopg.AsyncConnection.connect(url, autocommit=True) as admin,
    ):
        dropping = DroppingLog(store.log, lambda: random.random() < 0.9)

        async def delete_snapshots() -> None:
            await admin.execute("TRUNCATE snapshots")

        world = World(dropping, delete_snapshots, every=every)
        async with asyncio.TaskGroup() as group:
            for steps, erased in lived:
                group.create_task(world.run(steps, erased=erased))
        streams = await admin.execute(
            "SELECT stream FROM snapshots WHERE stream NOT IN (SELECT subject FROM subject_keys)"
        )
        assert await streams.fetchall() == []
