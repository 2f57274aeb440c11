"""A rebuild of the users, from its first read to the switch, against the library's own runner.

The log is sealed, and the users' histories are interleaved. Ours is one process that reads,
decrypts, folds, stores, indexes, catches up, compares and switches; the figure for memory is its
peak. The twin is the `ProjectionRunner` of the eventsourcing library, with one transaction per
event, on the same log.
"""

import asyncio
import resource
import sys
from itertools import islice
from typing import Any, Final

import uvloop

from application.log.event_log import EventFeed
from infrastructure.keys import MasterKeys
from interfaces.composition.event_store import open_event_store
from interfaces.garbage_collection import freeze_and_tune_gc
from tests.benchmarks import harness, library_runner, own_process
from tests.benchmarks.seeding import seed
from tests.support.servers.postgres import MASTER_KEYS
from tests.support.views.directory import execute
from tests.support.views.rebuilding import Rebuilder

EVENTS: Final = 1_000_000
RATE: Final = 30_000
RATIO: Final = 20
MEGABYTES: Final = 400
_TWIN_EVENTS: Final = 20_000
_TWIN_SECONDS: Final = 5.0


def main() -> None:
    given = own_process.options(__doc__, EVENTS)
    if given.inside:
        own_process.report(_rebuild, given.inside)
        return
    with harness.migrated_database() as url:
        twin = uvloop.run(_prepared(url, given.events))
        ours = own_process.measure_in_process("rebuild", url)
    rate = ours["events"] / ours["seconds"]
    sys.stdout.write(
        f"rebuild of {ours['events']:,} events: {rate:,.0f}/s in {ours['seconds']:.1f} s"
        f" (target: at least {RATE:,}/s), {ours['megabytes']:.0f} MB (at most {MEGABYTES}),"
        f" {ours['cpu'] / ours['events'] * 1e6:.0f} µs of CPU time per event;"
        f" {rate / twin:.0f}x its twin (at least {RATIO}x; {twin:,.0f}/s)\n"
    )
    missed = rate < RATE or rate < RATIO * twin or ours["megabytes"] > MEGABYTES
    if given.check and missed:
        sys.exit(1)


async def _prepared(url: str, events: int) -> float:
    """Fills the log; returns the events per second of the twin."""
    async with open_event_store(url, MasterKeys.parse(MASTER_KEYS)) as store:
        await seed(url, store.keys, events)
        library_runner.PreparedEvents.by_position = await _first(store.feed)
    return await asyncio.to_thread(library_runner.events_per_second, url, _TWIN_SECONDS)


async def _first(feed: EventFeed) -> dict[int, Any]:
    """The first events of the log, decrypted for the twin."""
    events = dict[int, Any]()
    after = 0
    while len(events) < _TWIN_EVENTS and (page := await feed.read(after, 1000)).events:
        events.update((recorded.position, recorded) for recorded in page.events)
        after = page.reached
    return dict(islice(events.items(), _TWIN_EVENTS))


async def _rebuild(url: str) -> dict[str, Any]:
    """Measures the second rebuild, so that the generation it replaces is full and current."""
    async with Rebuilder.open(url) as rebuilder:
        await execute(url, "UPDATE projections SET paused_at = now() WHERE name <> 'users'")
        await execute(
            url,
            "UPDATE checkpoints SET position = (SELECT max(notification_id) FROM stored_events)",
        )
        async with rebuilder.projecting():
            await rebuilder.rebuild()
            freeze_and_tune_gc()
            before = resource.getrusage(resource.RUSAGE_SELF)
            rebuilt = await rebuilder.rebuild()
            after = resource.getrusage(resource.RUSAGE_SELF)
    assert rebuilt["compared"]["differing"] == 0
    return {
        "events": rebuilt["events"],
        "seconds": rebuilt["seconds"],
        "cpu": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
    }


if __name__ == "__main__":
    main()
