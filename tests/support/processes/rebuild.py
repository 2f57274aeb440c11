"""A process that rebuilds the users and prints each step, for tests that kill it.

Run as `python -m tests.support.processes.rebuild URL`. Batches and pages are small, so that there
are several of each.
"""

import asyncio
import sys
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from application.projector import backfill
from application.projector.generations import Batch, Build, Comparison, Switch
from application.projector.rebuild import rebuild
from projections.projection import Projection
from projections.users import USERS
from tests.support.views.rebuilding import Rebuilder, ignore_progress

backfill._BATCH_STREAMS = 5  # pyright: ignore[reportPrivateUsage, reportConstantRedefinition]
backfill._PAGE_EVENTS = 7  # pyright: ignore[reportPrivateUsage, reportConstantRedefinition]


def report(step: str) -> None:
    sys.stdout.write(f"{step}\n")
    sys.stdout.flush()


class ReportingBuild:
    """See `Build`."""

    def __init__(self, build: Build[Any]) -> None:
        self._build = build

    @property
    def progress(self) -> Any:
        return self._build.progress

    async def store(self, batch: Batch[Any]) -> None:
        report("store")
        await self._build.store(batch)

    async def index(self) -> None:
        report("index")
        await self._build.index()

    async def follow(self) -> None:
        report("follow")
        await self._build.follow()
        report("followed")


class ReportingSwitch:
    """See `Switch`."""

    def __init__(self, switch: Switch) -> None:
        self._switch = switch

    @property
    def replaced(self) -> int:
        return self._switch.replaced

    async def gap(self) -> int:
        return await self._switch.gap()

    async def compare(self) -> Comparison:
        report("compare")
        return await self._switch.compare()

    async def switch(self, result: Mapping[str, Any] | None, *, with_parked: bool = False) -> None:
        report("switch")
        await self._switch.switch(result, with_parked=with_parked)
        report("switched")
        await asyncio.sleep(60)


class ReportingBuilds:
    """See `Builds`."""

    def __init__(self, rebuilder: Rebuilder) -> None:
        self._builds = rebuilder.ports.builds
        self.abandon = self._builds.abandon
        self.finished = self._builds.finished

    @asynccontextmanager
    async def open(self, projection: Projection[Any], by: str) -> AsyncGenerator[ReportingBuild]:
        async with self._builds.open(projection, by) as build:
            yield ReportingBuild(build)


async def main(url: str) -> None:
    async with Rebuilder.open(url) as rebuilder:

        @asynccontextmanager
        async def open_switch(
            projection: Projection[Any], generation: int
        ) -> AsyncGenerator[ReportingSwitch]:
            async with rebuilder.ports.open_switch(projection, generation) as switch:
                yield ReportingSwitch(switch)

        builds: Any = ReportingBuilds(rebuilder)
        ports = msgspec.structs.replace(rebuilder.ports, builds=builds, open_switch=open_switch)
        await rebuild(USERS, "test", ports, ignore_progress)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
