"""`kill -9` under load: no acknowledged command is lost, no command is applied twice."""

import asyncio
import os
import random
import signal
from pathlib import Path

import pytest

from infrastructure.embedded.postgres import EmbeddedPostgres
from tests.support.http.agreement import assert_agreement, assert_views_are_a_fresh_fold
from tests.support.http.load import Load, unaccepted
from tests.support.servers.postgres import scaled
from tests.support.servers.prepared_data import prepared
from tests.support.servers.rollbook import RunningRollbook

SECONDS_OF_LOAD = 1.0


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return prepared(tmp_path / "data")


async def assert_consistent(rollbook: RunningRollbook, load: Load) -> None:
    await assert_agreement(load.client, load.sent)
    database = EmbeddedPostgres(rollbook.data_dir / "postgres").url
    await assert_views_are_a_fresh_fold(database, rollbook.master_key)


async def test_killed_three_times_under_load_rollbook_loses_and_repeats_nothing(
    data_dir: Path,
) -> None:
    with RunningRollbook(data_dir) as rollbook:
        # First only the supervisor, whose children end with it, then all processes at once.
        kills = [rollbook.kill, *[rollbook.kill_all] * scaled(2)]
        async with Load.on(rollbook.url, rollbook.token) as load:
            for kill in kills:
                await load.start()
                await asyncio.sleep(random.uniform(0.7, 1.3) * SECONDS_OF_LOAD)
                kill()
                await load.stop()
                await asyncio.to_thread(rollbook.start)
                await assert_consistent(rollbook, load)
                remaining = unaccepted(load.sent)
                assert remaining
                answered = [one for one in load.sent if one.accepted]
                await load.repeat([*remaining[::2], *random.sample(answered, 20)])
            await assert_consistent(rollbook, load)


@pytest.mark.long
async def test_parts_killed_under_load_restart_and_nothing_is_lost_or_repeated(
    data_dir: Path,
) -> None:
    with RunningRollbook(data_dir) as rollbook:
        async with Load.on(rollbook.url, rollbook.token) as load:
            await load.start()
            for part in ("application", "postgres") * scaled(1):
                await asyncio.sleep(SECONDS_OF_LOAD)
                os.kill(rollbook.children()[part], signal.SIGKILL)
                await asyncio.sleep(0.5)
                await load.wait_for_accepted(timeout_seconds=15)
            await load.stop()
            await load.repeat(unaccepted(load.sent))
            assert unaccepted(load.sent) == []
            await assert_consistent(rollbook, load)
