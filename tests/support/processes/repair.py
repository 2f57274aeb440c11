"""A process that repairs the headcount and stops at a given step, for a test that kills it.

Run as `python -m tests.support.processes.repair URL WHERE`; prints `ready` at that step.
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
from tests.support.views.verifying import ports_of, verify_projection


class StoppingRepairs:
    """See `Repairs`; after the first repair it stops at the given step."""

    def __init__(self, repairs: Repairs, stop: str) -> None:
        self._repairs = repairs
        self._stop = stop
        self._locked = 0

    async def step(self, name: str) -> None:
        if name == self._stop and (self._locked > 1 or name.startswith("add")):
            sys.stdout.write("ready\n")
            sys.stdout.flush()
            await asyncio.Event().wait()

    @asynccontextmanager
    async def lock(self, slot: Slot[Any], stream: UUID) -> AsyncGenerator["_StoppingStream"]:
        self._locked += 1
        async with self._repairs.lock(slot, stream) as locked_stream:
            await self.step("hold")
            yield _StoppingStream(locked_stream, self)

    async def add(self, slot: Slot[Any], differences: Mapping[str, int]) -> None:
        await self.step("add")
        await self._repairs.add(slot, differences)
        await self.step("added")


class _StoppingStream:
    """See `LockedStream`."""

    def __init__(self, stream: LockedStream[Any], repairs: StoppingRepairs) -> None:
        self._repairs = repairs
        self._stream = stream
        self.position, self.entry = stream.position, stream.entry
        self.parked, self.skipped = stream.parked, stream.skipped
        self.commit, self.skip = stream.commit, stream.skip

    async def replace(self, entry: Entry[Any] | None, counters: Mapping[str, int]) -> None:
        await self._repairs.step("replace")
        await self._stream.replace(entry, counters)
        await self._repairs.step("replaced")


async def main(url: str, stop: str) -> None:
    async with Rebuilder.open(url) as rebuilder:
        ports = ports_of(rebuilder)

        @asynccontextmanager
        async def repairs(slots: Sequence[Slot[Any]]) -> AsyncGenerator[StoppingRepairs]:
            async with ports.repairs(slots) as opened:
                yield StoppingRepairs(opened, stop)

        await verify_projection(
            rebuilder, "headcount", repair=True, ports=replace(ports, repairs=repairs)
        )


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
