"""A process that repairs the headcount and stops where it is told, for a test that kills it.

Run as `python -m tests.support.processes.repair URL WHERE`; says `ready` when it is there.
"""

import asyncio
import sys
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

from msgspec.structs import replace

from application.projector.parked import LockedStream
from application.projector.view_store import Entry, Slot
from application.verification.repair import Repairs
from tests.support.views.rebuilding import Rebuilder
from tests.support.views.verifying import ports_of, verified


class StoppingRepairs:
    """See `Repairs`; after the first repair it stops at one of its steps."""

    def __init__(self, repairs: Repairs, stop: str) -> None:
        self._repairs = repairs
        self._stop = stop
        self._held = 0

    async def step(self, what: str) -> None:
        if what == self._stop and (self._held > 1 or what.startswith("add")):
            sys.stdout.write("ready\n")
            sys.stdout.flush()
            await asyncio.Event().wait()

    @asynccontextmanager
    async def hold(self, slot: Slot[Any], stream: UUID) -> AsyncGenerator["_Stopping"]:
        self._held += 1
        async with self._repairs.hold(slot, stream) as held:
            await self.step("hold")
            yield _Stopping(held, self)

    async def add(self, slot: Slot[Any], differences: Mapping[str, int]) -> None:
        await self.step("add")
        await self._repairs.add(slot, differences)
        await self.step("added")


class _Stopping:
    """See `LockedStream`."""

    def __init__(self, held: LockedStream[Any], repairs: StoppingRepairs) -> None:
        self._repairs = repairs
        self._held = held
        self.position, self.entry = held.position, held.entry
        self.parked, self.skipped = held.parked, held.skipped
        self.commit, self.skip = held.commit, held.skip

    async def replace(self, entry: Entry[Any] | None, counters: Mapping[str, int]) -> None:
        await self._repairs.step("replace")
        await self._held.replace(entry, counters)
        await self._repairs.step("replaced")


async def main(url: str, stop: str) -> None:
    async with Rebuilder.open(url) as rebuilder:
        ports = ports_of(rebuilder)

        @asynccontextmanager
        async def repairs(slots: Sequence[Slot[Any]]) -> AsyncGenerator[StoppingRepairs]:
            async with ports.repairs(slots) as quiet:
                yield StoppingRepairs(quiet, stop)

        await verified(rebuilder, "headcount", repair=True, ports=replace(ports, repairs=repairs))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
