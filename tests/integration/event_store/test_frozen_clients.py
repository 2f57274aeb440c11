"""A client that is frozen while it has the append function's lock does not block the others."""

import asyncio
import os
import signal
import subprocess
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from time import monotonic

import msgspec
import pytest

from infrastructure.keys import MasterKeys
from interfaces.composition.event_store import EventStore, open_event_store
from tests.integration.event_store.test_library_recorder import connection_settings
from tests.support.log.drafts import registration
from tests.support.log.faults import fault_run
from tests.support.log.invariants import Write
from tests.support.servers.postgres import scaled
from tests.support.servers.postgres_backends import append_lock, frozen, waiting_for_lock
from tests.support.servers.rollbook import ROOT

CALLERS = 8
NOTICED_SECONDS = 2.0
# Longer than any of its callers waits.
FROZEN_SECONDS = 5.0

# Stops itself between its append and its commit, once.
FREEZES = """
import os, signal, sys
from json import loads
from uuid import uuid4
from eventsourcing.persistence import StoredEvent
from eventsourcing.postgres import PostgresDatastore
from infrastructure.event_store import library_recorder as recorder

append_results = recorder.append_results

def freeze_before_the_commit(*arguments):
    recorder.append_results = append_results
    os.kill(os.getpid(), signal.SIGSTOP)
    return append_results(*arguments)

recorder.append_results = freeze_before_the_commit
datastore = PostgresDatastore(**loads(sys.argv[1]))
ours = recorder.AppendRecorder(datastore, events_table_name="stored_events")
event = StoredEvent(originator_id=uuid4(), originator_version=1, topic="t", state=b"{}")
print(ours.insert_events([event]))
"""


@pytest.fixture
async def store(database_url: str, master_keys: str) -> AsyncIterator[EventStore]:
    async with open_event_store(database_url, MasterKeys.parse(master_keys)) as store:
        yield store


@asynccontextmanager
async def callers_elsewhere(database_url: str) -> AsyncGenerator[Process]:
    """Another process that writes to the log; ended at the latest with the block."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "tests.support.processes.callers", database_url),
        stdin=PIPE,
        stdout=PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    try:
        assert process.stdout is not None
        assert await process.stdout.readline() == b"ready\n"
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def written(process: Process) -> Sequence[Write]:
    """The results that its callers got; waits for its end."""
    output, _ = await process.communicate(b"")
    assert process.returncode == 0
    return msgspec.json.decode(output.splitlines()[-1], type=list[Write])


async def test_a_frozen_process_that_has_the_lock_blocks_no_other(
    store: EventStore, database_url: str
) -> None:
    async with (
        fault_run(store.log, database_url, CALLERS) as callers,
        callers_elsewhere(database_url) as process,
    ):
        for seconds in (0.0, FROZEN_SECONDS) * scaled(1):
            async with append_lock(database_url):
                # Ours and that of the other process: the first of the two gets the lock next.
                await waiting_for_lock(database_url, count=2)
                os.kill(process.pid, signal.SIGSTOP)
            with frozen(process.pid):
                for _ in range(10):
                    began = monotonic()
                    await callers.wait_for_success()
                    assert monotonic() - began < NOTICED_SECONDS
                await asyncio.sleep(seconds)
        callers.other_writes += await written(process)
    assert callers.failures == []
    assert any(write.acknowledged for write in callers.other_writes)


async def test_a_frozen_transaction_of_the_library_loses_the_lock(
    store: EventStore, database_url: str
) -> None:
    settings = msgspec.json.encode(connection_settings(database_url)).decode()
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", FREEZES, settings],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        os.waitid(os.P_PID, process.pid, os.WSTOPPED)
        appended = await store.log.append(registration())
        process.send_signal(signal.SIGCONT)
        # Its own append was rolled back with its session; its retry records it.
        output, _ = process.communicate(timeout=20)
    finally:
        process.kill()
        process.wait()
    assert output == f"[{appended.position + 1}]\n"
    assert len((await store.feed.read(0, 10)).events) == 2
