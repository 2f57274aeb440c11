"""A process that runs the projectors and the cache followers, for tests that kill it.

Run as `python -m tests.support.processes.caching DATABASE REDIS`; prints `ready` when it works.
"""

import asyncio
import sys

from tests.support.views.caching import CachedSide


async def main(database_url: str, redis_url: str) -> None:
    async with (
        CachedSide.open(database_url, redis_url) as side,
        side.read_side.projecting(),
        side.following(),
    ):
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
