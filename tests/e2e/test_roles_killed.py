"""`kill -9` of each role under load: no consumer misses an event."""

import asyncio
import os
import random
import signal
from collections.abc import Iterator
from functools import partial
from typing import Final

import pytest

from infrastructure.embedded.postgres import EmbeddedPostgres
from tests.support.http.agreement import assert_views_are_a_fresh_fold
from tests.support.http.witnesses import Witnesses
from tests.support.servers.postgres import scaled
from tests.support.servers.prepared_data import prepared
from tests.support.servers.rabbit import RabbitNode
from tests.support.servers.rollbook import RunningRollbook, until

COMMANDS: Final = 200
# Shorter than the time after which a leader loses its lead.
FROZEN_SECONDS: Final = 0.7
MAX_DELAY_SECONDS: Final = 0.1
ROLES: Final = ("api", "relay", "projector")


@pytest.fixture(scope="module")
def rollbook(
    tmp_path_factory: pytest.TempPathFactory, private_rabbit: RabbitNode
) -> Iterator[RunningRollbook]:
    data_dir = prepared(tmp_path_factory.mktemp("split") / "data")
    with RunningRollbook(data_dir, "--split", ROLLBOOK_AMQP_URL=private_rabbit.url) as rollbook:
        yield rollbook


async def assert_views_are_fresh(rollbook: RunningRollbook) -> None:
    database = EmbeddedPostgres(rollbook.data_dir / "postgres").url
    await assert_views_are_a_fresh_fold(database, rollbook.master_key)


@pytest.mark.parametrize(
    "role",
    ["projector", *(pytest.param(role, marks=pytest.mark.long) for role in ("api", "relay"))],
)
async def test_a_role_killed_under_load_restarts_and_no_consumer_misses_an_event(
    rollbook: RunningRollbook, rabbit: RabbitNode, role: str
) -> None:
    async with Witnesses.of(rollbook, rabbit.url) as witnesses:
        await witnesses.load.start()
        for _ in range(scaled(2)):
            await witnesses.wait_for_accepted(COMMANDS // 2)
            before = rollbook.children()
            await kill_with_backlog(before[role])
            await witnesses.wait_for_accepted(COMMANDS // 2)
            await asyncio.to_thread(until, partial(is_restarted, rollbook, role, before[role]))
            after = rollbook.children()
            assert {name for name in before if after[name] != before[name]} == {role}
        await witnesses.assert_all_received()
        if role == "api":
            assert witnesses.reader.streams > 1
    await assert_views_are_fresh(rollbook)


async def kill_with_backlog(*processes: int) -> None:
    """Freezes the processes until they have a backlog, then kills them while they work on it."""
    for process in processes:
        os.kill(process, signal.SIGSTOP)
    await asyncio.sleep(FROZEN_SECONDS)
    for process in processes:
        os.kill(process, signal.SIGCONT)
    await asyncio.sleep(random.uniform(0, MAX_DELAY_SECONDS))
    for process in processes:
        os.kill(process, signal.SIGKILL)


def is_restarted(rollbook: RunningRollbook, role: str, killed: int) -> bool:
    return rollbook.children().get(role, killed) != killed


@pytest.mark.long
async def test_all_roles_killed_at_once_under_load_restart_and_no_consumer_misses_an_event(
    rollbook: RunningRollbook, rabbit: RabbitNode
) -> None:
    async with Witnesses.of(rollbook, rabbit.url) as witnesses:
        await witnesses.load.start()
        await witnesses.wait_for_accepted(COMMANDS // 2)
        parts = rollbook.children()
        await kill_with_backlog(*(parts[role] for role in ROLES))
        await witnesses.wait_for_accepted(COMMANDS // 2)
        await witnesses.assert_all_received()
    await assert_views_are_fresh(rollbook)
