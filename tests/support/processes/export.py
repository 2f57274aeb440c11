"""A slow worker of exports, for tests that kill it.

Run as `python -m tests.support.processes.export URL`; prints `ready` when it works.
"""

import asyncio
import sys
from uuid import UUID

from application.exports.requests import Piece
from infrastructure.exports.postgres import PostgresExports
from tests.support.jobs.exporting import ExportWorld


class SlowExports(PostgresExports):
    """Waits before each piece."""

    async def add(self, export: UUID, attempt: int, number: int, piece: Piece) -> bool:
        await asyncio.sleep(0.3)
        return await super().add(export, attempt, number, piece)


async def main(url: str) -> None:
    async with ExportWorld.open(url, SlowExports) as world, world.bench.working(world.kind):
        print("ready", flush=True)  # noqa: T201
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
