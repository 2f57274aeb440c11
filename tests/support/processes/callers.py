"""A process whose callers append until its input ends; it then prints their writes as JSON."""

import asyncio
import sys

import msgspec
import uvloop

from infrastructure.keys import MasterKeys
from interfaces.composition.event_store import open_event_store
from tests.support.log.callers import Callers, write_of
from tests.support.servers.postgres import MASTER_KEYS

CALLERS = 8


async def main(database_url: str) -> None:
    async with (
        open_event_store(database_url, MasterKeys.parse(MASTER_KEYS)) as store,
        Callers.of(store.log, CALLERS) as callers,
    ):
        await callers.wait_for_success()
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.read)
    writes = [write_of(one) for one in callers.results]
    sys.stdout.buffer.write(msgspec.json.encode(writes))


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1]))
