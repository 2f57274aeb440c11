"""A process that rebuilds the users and says what it is about to do, for tests that kill it.

Run as `python -m tests.support.processes.rebuild URL`. Lots and pages are small, so that there are
several of each.
"""

import asyncio
import sys
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from application.projector import backfill as filling
from application.projector.generations import Batch, Build, Comparison, Switch
from application.projector.rebuild import rebuild
from projections.projection import Projection
from projections.users import USERS
from tests.support.views.rebuilding import Rebuilder, unreported

filling._BATCH_STREAMS = 5  # pyright: ignore[reportPrivateUsage, reportConstantRedefinition]
filling._PAGE_EVENTS = 7  # pyright: ignore[reportPrivateUsage, reportConstantRedefinition]


def say(what: str) -> None:
    sys.stdout.write(f"{what}\n")
    sys.stdout.flush()


class TalkingBuild:
    """See `Build`."""

    def __init__(self, build: Build[Any]) -> None:
        self._build = build

    @property
    def filling(self) -> Any:
        return self._build.filling

    async def store(self, batch: Batch[Any]) -> None:
        say("store")
        await self._build.store(batch)

    async def index(self) -> None:
        say("index")
        await self._build.index()

    async def follow(self) -> None:
        say("follow")
        await self._build.follow()
        say("followed")


class TalkingSuccession:
    """See `Switch`."""

    def __init__(self, succession: Switch) -> None:
        self._succession = succession

    @property
    def replaced(self) -> int:
        return self._succession.replaced

    async def gap(self) -> int:
        return await self._succession.gap()

    async def compare(self) -> Comparison:
        say("compare")
        return await self._succession.compare()

    async def switch(self, result: Mapping[str, Any] | None, *, with_parked: bool = False) -> None:
        say("switch")
        await self._succession.switch(result, with_parked=with_parked)
        say("switched")
        await asyncio.sleep(60)


class TalkingBuilds:
    """See `Builds`."""

    def __init__(self, rebuilder: Rebuilder) -> None:
        self._builds = rebuilder.ports.builds
        self.abandon = self._builds.abandon
        self.finished = self._builds.finished

    @asynccontextmanager
    async def open(self, projection: Projection[Any], by: str) -> AsyncGenerator[TalkingBuild]:
        async with self._builds.open(projection, by) as build:
            yield TalkingBuild(build)


async def main(url: str) -> None:
    async with Rebuilder.open(url) as rebuilder:

        @asynccontextmanager
        async def succession(
            projection: Projection[Any], generation: int
        ) -> AsyncGenerator[TalkingSuccession]:
            async with rebuilder.ports.succession(projection, generation) as quiet:
                yield TalkingSuccession(quiet)

        builds: Any = TalkingBuilds(rebuilder)
        ports = msgspec.structs.replace(rebuilder.ports, builds=builds, succession=succession)
        await rebuild(USERS, "test", ports, unreported)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
