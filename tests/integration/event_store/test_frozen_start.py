"""A process that freezes while it starts does not stop the others from writing."""

import os
import signal
import subprocess
import sys
from time import monotonic

import pytest

from infrastructure.keys import MasterKeys
from infrastructure.views.projector.ensure import ensure_views
from interfaces.composition.event_store import open_event_store
from projections.registry import PROJECTIONS
from tests.support.log.drafts import registration
from tests.support.servers.rollbook import ROOT

# Stops itself while it has the append function's lock, before it reads the log's identity.
FREEZES = """
import asyncio, os, signal, sys
from psycopg import AsyncConnection
from infrastructure.event_store import identity
from infrastructure.keys import MasterKeys
from interfaces.composition.event_store import open_event_store

execute = AsyncConnection.execute

async def freeze_before_the_read(self, query, *arguments, **options):
    if query == identity._READ:
        os.kill(os.getpid(), signal.SIGSTOP)
    return await execute(self, query, *arguments, **options)

AsyncConnection.execute = freeze_before_the_read

async def start():
    async with open_event_store(sys.argv[1], MasterKeys.parse(sys.argv[2])):
        pass

asyncio.run(start())
"""

# Stops itself while it has the lock on the tables of the views.
FREEZES_LATER = """
import asyncio, os, signal, sys
from infrastructure.views.projector import ensure
from projections.registry import PROJECTIONS

async def freeze(*arguments):
    os.kill(os.getpid(), signal.SIGSTOP)

ensure._ensure = freeze
asyncio.run(ensure.ensure_views(sys.argv[1], PROJECTIONS))
"""


async def test_a_frozen_start_loses_its_lock_on_the_log(
    database_url: str, master_keys: str
) -> None:
    masters = MasterKeys.parse(master_keys)
    async with open_event_store(database_url, masters) as store:
        await store.log.append(registration())
        starting = subprocess.Popen(
            [sys.executable, "-c", FREEZES, database_url, master_keys], cwd=ROOT
        )
        try:
            os.waitid(os.P_PID, starting.pid, os.WSTOPPED)
            began = monotonic()
            await store.log.append(registration())
            assert monotonic() - began < 3.0
        finally:
            starting.send_signal(signal.SIGKILL)
            starting.wait()


@pytest.mark.long
async def test_a_frozen_start_loses_its_lock_on_the_views(database_url: str) -> None:
    starting = subprocess.Popen([sys.executable, "-c", FREEZES_LATER, database_url], cwd=ROOT)
    try:
        os.waitid(os.P_PID, starting.pid, os.WSTOPPED)
        slots = await ensure_views(database_url, PROJECTIONS, timeout_seconds=20)
    finally:
        starting.send_signal(signal.SIGKILL)
        starting.wait()
    assert {slot.projection for slot in slots} == set(PROJECTIONS)
