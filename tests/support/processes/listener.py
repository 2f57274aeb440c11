"""A process that RabbitMQ's newest event wakes, as a projector or a worker; it has no other work.

Run as `python -m tests.support.processes.listener AMQP_URL`; prints `ready` when it listens.
"""

import asyncio
import sys
from functools import partial

import uvloop

from application.doorbell import LOG
from infrastructure.bus.newest_event import NewestEventQueue
from infrastructure.doorbell.memory import MemoryDoorbell


async def main(amqp_url: str) -> None:
    doorbell = MemoryDoorbell()
    async with (
        doorbell.listen(LOG) as bell,
        NewestEventQueue.open(amqp_url, partial(doorbell.ring, LOG)),
    ):
        await bell.wait(30)
        print("ready", flush=True)  # noqa: T201
        await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1]))
