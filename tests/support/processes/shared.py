"""A process that projects a headcount with four partitions, for a test that kills it.

Run as `python -m tests.support.processes.shared URL`; prints `ready` when it works.
"""

import asyncio
import sys

from msgspec.structs import replace

from projections.headcount import HEADCOUNT
from tests.support.views.rebuilding import Rebuilder

SHARED = replace(HEADCOUNT, name="shared", partitions=4)


async def main(url: str) -> None:
    async with Rebuilder.open(url, [SHARED]) as rebuilder, rebuilder.projecting():
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
