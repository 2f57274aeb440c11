"""Verification of users and headcount against the log: its speed and its memory.

The log is sealed, and the users' histories are interleaved. One process reads, decrypts, folds and
compares; the figure for memory is its peak.
"""

import sys
import time
from typing import Any, Final

import uvloop

from infrastructure.keys import MasterKeys
from interfaces.composition.event_store import open_event_store
from tests.benchmarks import harness, own_process
from tests.benchmarks.seeding import seed
from tests.support.servers.postgres import MASTER_KEYS
from tests.support.views.directory import execute
from tests.support.views.rebuilding import Rebuilder
from tests.support.views.verifying import verify_projection

EVENTS: Final = 1_000_000
RATE: Final = 10_000
MEGABYTES: Final = 300


def main() -> None:
    given = own_process.options(__doc__, EVENTS)
    if given.inside:
        own_process.report(_verify, given.inside)
        return
    with harness.migrated_database() as url:
        uvloop.run(_prepared(url, given.events))
        ours = own_process.measure_in_process("verify", url)
    for name, seconds in ours["seconds"].items():
        sys.stdout.write(
            f"verify {name} over {given.events:,} events: {given.events / seconds:,.0f}/s in"
            f" {seconds:.1f} s (target: at least {RATE:,}/s)\n"
        )
    sys.stdout.write(f"{ours['megabytes']:.0f} MB (at most {MEGABYTES})\n")
    slowest = given.events / max(ours["seconds"].values())
    if given.check and (slowest < RATE or ours["megabytes"] > MEGABYTES):
        sys.exit(1)


async def _prepared(url: str, events: int) -> None:
    """Fills the log and the views."""
    async with open_event_store(url, MasterKeys.parse(MASTER_KEYS)) as store:
        await seed(url, store.keys, events)
    async with Rebuilder.open(url) as rebuilder:
        head = "SELECT max(notification_id) FROM stored_events"
        await execute(url, f"UPDATE checkpoints SET position = ({head})")
        async with rebuilder.projecting():
            for name in rebuilder.projections:
                await rebuilder.rebuild(name)
        await execute(url, "UPDATE generations SET state = 'dropping' WHERE generation = 1")


async def _verify(url: str) -> dict[str, Any]:
    seconds: dict[str, float] = {}
    async with Rebuilder.open(url) as rebuilder:
        for name in rebuilder.projections:
            began = time.monotonic()
            found = await verify_projection(rebuilder, name)
            seconds[name] = time.monotonic() - began
            assert all(slot.matches and slot.log == slot.views for slot in found)
            assert sum(slot.log.events for slot in found) > 0
    return {"seconds": seconds}


if __name__ == "__main__":
    main()
