"""Several processes write while a reader follows: it misses no event, and all are in order."""

import asyncio
import json
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections import Counter, defaultdict
from itertools import pairwise
from uuid import UUID

from uuid_utils.compat import uuid7

from application.log.event_log import EventFeed
from domain.event import Event, Recorded
from infrastructure.keys import MasterKeys
from interfaces.composition.event_store import open_event_store
from tests.support.servers.postgres import scaled
from tests.support.servers.rollbook import ROOT

WRITERS = 3
PAGE = 500


async def test_a_reader_that_follows_three_writers_misses_no_event(
    database_url: str, master_keys: str
) -> None:
    seconds = min(scaled(3), 10)
    shared = [str(uuid7()) for _ in range(3)]
    async with open_event_store(database_url, MasterKeys.parse(master_keys)) as store:
        writers = [await start_writer(database_url, str(seconds), *shared) for _ in range(WRITERS)]
        reading = asyncio.create_task(follow(store.feed, writers))
        done = Counter[str]()
        for writer in writers:
            output, _ = await writer.communicate()
            assert writer.returncode == 0
            done.update(json.loads(output.splitlines()[-1]))
        seen = await reading
    assert len(seen) == done["appended"]
    assert len({recorded.event_id for recorded in seen}) == len(seen)
    assert all(one.position < two.position for one, two in pairwise(seen))
    assert all(one.recorded_at < two.recorded_at for one, two in pairwise(seen))
    versions = defaultdict[UUID, list[int]](list)
    for recorded in seen:
        versions[recorded.stream].append(recorded.version)
    assert all(found == [*range(1, len(found) + 1)] for found in versions.values())
    assert done["conflicts"] > 0


async def start_writer(*arguments: str) -> Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "tests.support.processes.writer", *arguments),
        stdout=PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


async def follow(feed: EventFeed, writers: list[Process]) -> list[Recorded[Event]]:
    """Read from before the first event, each page after the last one, until all writers ended."""
    seen = list[Recorded[Event]]()
    after = 0
    while True:
        ended = all(writer.returncode is not None for writer in writers)
        page = await feed.read(after, PAGE)
        seen += page.events
        after = page.reached
        if ended and not page.events:
            return seen
        if len(page.events) < PAGE:
            await asyncio.sleep(0.001)
