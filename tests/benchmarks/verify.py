"""A comparison of the users with the log, and of the headcount with it: how fast, and in how much memory.

The log is sealed, and its users' histories are mixed. One process reads, opens, folds and compares;
its memory is what it took at most.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Final

import structlog
import uvloop

from infrastructure.keys import MasterKeys
from interfaces.event_store import open_event_store
from tests.benchmarks import harness
from tests.benchmarks.seeding import seed
from tests.integration.rebuilding import Rebuilder
from tests.integration.verifying import verified
from tests.integration.views import execute
from tests.servers import MASTER_KEYS

EVENTS: Final = 1_000_000
RATE: Final = 10_000
MEGABYTES: Final = 300


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=EVENTS)
    parser.add_argument("--check", action="store_true", help="exit with 1 below a target")
    parser.add_argument("--inside", metavar="URL", help=argparse.SUPPRESS)
    given = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(30))
    if given.inside:
        sys.stdout.write(json.dumps(uvloop.run(_verify(given.inside))) + "\n")
        return
    with harness.migrated_database() as url:
        uvloop.run(_prepared(url, given.events))
        ours = _in_a_process_of_its_own(url)
    for name, seconds in ours["seconds"].items():
        sys.stdout.write(
            f"verify {name} over {given.events:,} events: {given.events / seconds:,.0f}/s in"
            f" {seconds:.1f} s (at least {RATE:,}/s is asked)\n"
        )
    sys.stdout.write(f"{ours['megabytes']:.0f} MB (at most {MEGABYTES})\n")
    slowest = given.events / max(ours["seconds"].values())
    if given.check and (slowest < RATE or ours["megabytes"] > MEGABYTES):
        sys.exit(1)


async def _prepared(url: str, events: int) -> None:
    """Fills the log, and the views."""
    async with open_event_store(url, MasterKeys.parse(MASTER_KEYS)) as store:
        await seed(url, store.keys, events)
    async with Rebuilder.open(url) as rebuilder:
        head = "SELECT max(notification_id) FROM stored_events"
        await execute(url, f"UPDATE checkpoints SET position = ({head})")
        async with rebuilder.projecting():
            for name in rebuilder.projections:
                await rebuilder.rebuild(name)
        await execute(url, "UPDATE generations SET state = 'dropping' WHERE generation = 1")


def _in_a_process_of_its_own(url: str) -> dict[str, Any]:
    command = [sys.executable, "-P", "-m", __spec__.name if __spec__ else "", "--inside", url]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout)


async def _verify(url: str) -> dict[str, Any]:
    seconds: dict[str, float] = {}
    async with Rebuilder.open(url) as rebuilder:
        for name in rebuilder.projections:
            began = time.monotonic()
            found = await verified(rebuilder, name)
            seconds[name] = time.monotonic() - began
            assert all(slot.right and slot.log == slot.views for slot in found)
            assert sum(slot.log.events for slot in found) > 0
    return {"seconds": seconds, "megabytes": _most_memory()}


def _most_memory() -> float:
    """The most this process ever had in memory, in MB; `ru_maxrss` would know of who started it."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


if __name__ == "__main__":
    main()
