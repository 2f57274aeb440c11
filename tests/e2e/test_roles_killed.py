"""`kill -9` of one role after the other, in the middle of a load: nobody misses an event."""

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
# Shorter than what costs a leader its lead.
HELD_SECONDS: Final = 0.7
AT_WORK_SECONDS: Final = 0.1
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


@pytest.mark.parametrize("role", ROLES)
async def test_a_role_killed_under_load_comes_back_and_nobody_misses_an_event(
    rollbook: RunningRollbook, rabbit: RabbitNode, role: str
) -> None:
    async with Witnesses.of(rollbook, rabbit.url) as witnesses:
        await witnesses.load.start()
        for _ in range(scaled(2)):
            await witnesses.accept(COMMANDS // 2)
            before = rollbook.children()
            await kill_at_work(before[role])
            await witnesses.accept(COMMANDS // 2)
            await asyncio.to_thread(until, partial(is_back, rollbook, role, before[role]))
            after = rollbook.children()
            assert {name for name in before if after[name] != before[name]} == {role}
        await witnesses.assert_all_is_told()
        if role == "api":
            assert witnesses.reader.streams > 1
    await assert_views_are_fresh(rollbook)


async def kill_at_work(*processes: int) -> None:
    """Hold them until they have much to do, then kill them in the middle of it."""
    for process in processes:
        os.kill(process, signal.SIGSTOP)
    await asyncio.sleep(HELD_SECONDS)
    for process in processes:
        os.kill(process, signal.SIGCONT)
    await asyncio.sleep(random.uniform(0, AT_WORK_SECONDS))
    for process in processes:
        os.kill(process, signal.SIGKILL)


def is_back(rollbook: RunningRollbook, role: str, killed: int) -> bool:
    return rollbook.children().get(role, killed) != killed


async def test_all_roles_killed_at_once_under_load_come_back_and_nobody_misses_an_event(
    rollbook: RunningRollbook, rabbit: RabbitNode
) -> None:
    async with Witnesses.of(rollbook, rabbit.url) as witnesses:
        await witnesses.load.start()
        await witnesses.accept(COMMANDS // 2)
        parts = rollbook.children()
        await kill_at_work(*(parts[role] for role in ROLES))
        await witnesses.accept(COMMANDS // 2)
        await witnesses.assert_all_is_told()
    await assert_views_are_fresh(rollbook)
