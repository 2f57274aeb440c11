"""A process that only runs the projectors, for tests that freeze or kill it.

Run as `python -m tests.support.processes.projector URL`; prints `ready` when it works.
"""

import asyncio
import sys

from tests.support.views.directory import ReadSide


async def main(url: str) -> None:
    async with ReadSide.open(url) as read_side, read_side.projecting():
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
