"""A process that only relays, for tests that freeze or kill it.

Run as `python -m tests.support.processes.relay URL AMQP_URL lives|dies`; prints `ready` when
it works. With `dies`, it kills itself between the first confirmed page and its checkpoint.
"""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

from application.messaging.bus import Message, Publisher
from infrastructure.bus.rabbitmq import RabbitMQBus
from tests.support.jobs.relaying import RelaySide


class KillingBus:
    """A bus that kills the process after the first page."""

    def __init__(self, amqp_url: str) -> None:
        self._bus = RabbitMQBus(amqp_url)

    @asynccontextmanager
    async def connect(self) -> AsyncGenerator[Publisher]:
        async with self._bus.connect() as publisher:
            yield _KillingPublisher(publisher)


class _KillingPublisher:
    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher

    def check(self) -> None:
        self._publisher.check()

    async def publish(self, messages: Sequence[Message]) -> Sequence[Message]:
        await self._publisher.publish(messages)
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError("SIGKILL did not end the process")


async def main(url: str, amqp_url: str, how: str) -> None:
    bus = KillingBus(amqp_url) if how == "dies" else RabbitMQBus(amqp_url)
    async with RelaySide.open(url, amqp_url) as relay_side, relay_side.relaying(bus):
        print("ready", flush=True)  # noqa: T201
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
