"""A process that only delivers to webhooks, for tests that freeze or kill it.

Run as `python -m tests.support.processes.webhooks URL`; prints `ready` when it works.
"""

import asyncio
import sys

from tests.support.webhooks.delivering import WebhookSide


async def main(url: str) -> None:
    async with WebhookSide.open(url) as side, side.delivering():
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
