"""A process that appends to a log for some seconds and prints its counts; tests run several.

Half of its callers register users and change them. The others change users that all processes
share; the arguments hold their ids.
"""

import asyncio
import json
import sys
import time
from collections import Counter
from uuid import UUID

import uvloop

from application.errors import VersionConflict
from application.log.event_log import EventLog
from infrastructure.keys import MasterKeys
from interfaces.composition.event_store import open_event_store
from tests.support.log.drafts import change, registration
from tests.support.servers.postgres import MASTER_KEYS

CALLERS = 32


async def main(database_url: str, seconds: float, shared: list[UUID]) -> None:
    done = Counter[str]()
    async with open_event_store(database_url, MasterKeys.parse(MASTER_KEYS)) as store:
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        until = time.monotonic() + seconds
        async with asyncio.TaskGroup() as callers:
            for number in range(CALLERS):
                if number % 2:
                    stream = shared[number % len(shared)]
                    callers.create_task(contend(store.log, until, stream, done))
                else:
                    callers.create_task(register(store.log, until, done))
    json.dump(done, sys.stdout)


async def register(log: EventLog, until: float, done: Counter[str]) -> None:
    """New streams of three events each, appended one and then two at a time."""
    while time.monotonic() < until:
        first = registration()
        await log.append(first)
        two = change(first.stream, 1)
        await log.append(change(first.stream, 1, *two.events, *two.events))
        done["appended"] += 3


async def contend(log: EventLog, until: float, stream: UUID, done: Counter[str]) -> None:
    """Change a stream that others change, too; after a conflict, load it and retry."""
    version = 0
    while time.monotonic() < until:
        try:
            draft = change(stream, version) if version else registration(stream)
            version = (await log.append(draft)).events[-1].version
            done["appended"] += 1
        except VersionConflict:
            done["conflicts"] += 1
            version = len((await log.load(stream)).events)


if __name__ == "__main__":
    url, duration, *streams = sys.argv[1:]
    uvloop.run(main(url, float(duration), [UUID(stream) for stream in streams]))
