"""A process that rebuilds the users and prints each step, for tests that kill it.

Run as `python -m tests.support.processes.rebuild URL SWITCH_IF`. Batches and pages are small, so that there
are several of each.
"""

import asyncio
import sys
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from application.projector import backfill
from application.projector.generations import Batch, Build, Comparison, Generations, Switch
from application.projector.rebuild import rebuild
from projections.projection import Projection, V
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

    @asynccontextmanager
    async def switch(self) -> AsyncGenerator["ReportingSwitch"]:
        async with self._build.switch() as switch:
            yield ReportingSwitch(switch)

    async def drop(self) -> None:
        await self._build.drop()


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


class ReportingGenerations:
    """See `Generations`."""

    def __init__(self, generations: Generations) -> None:
        self._generations = generations
        self.finished = generations.finished

    @asynccontextmanager
    async def build(self, projection: Projection[V], by: str) -> AsyncGenerator[ReportingBuild]:
        async with self._generations.build(projection, by) as build:
            yield ReportingBuild(build)


async def main(url: str, switch_if: Any) -> None:
    async with Rebuilder.open(url) as rebuilder:
        generations: Any = ReportingGenerations(rebuilder.ports.generations)
        ports = msgspec.structs.replace(rebuilder.ports, generations=generations)
        await rebuild(USERS, "test", ports, ignore_progress, switch_if)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
