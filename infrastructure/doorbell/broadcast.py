"""A doorbell across processes by `broadcaster`; listeners also poll, so rings may be lost."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from secrets import token_hex
from typing import Final, NoReturn, Protocol, Self

from broadcaster import Broadcast, Event
from redis.exceptions import RedisError

from application.doorbell import Bell
from infrastructure.doorbell.memory import MemoryDoorbell
from infrastructure.doorbell.outbox import Outbox
from infrastructure.doorbell.redis import RESTORED, RedisBackend

_CHANNEL: Final = "rb:{namespace}:bells"


class _Subscriber(Protocol):
    async def get(self) -> Event: ...


class BroadcastDoorbell:
    """Rings in this process at once and in others a moment later; repeated rings are merged.

    One subscription receives all bells of the process. When it starts again, all bells ring,
    because messages may have been missed. It can share the `bells` of another doorbell.
    """

    def __init__(self, broadcast: Broadcast, channel: str, bells: MemoryDoorbell) -> None:
        self._broadcast = broadcast
        self._channel = channel
        self._bells = bells
        self._outbox = Outbox()
        # The sender in each message: this process ignores its own messages.
        self._sender_id = token_hex(8)

    @classmethod
    @asynccontextmanager
    async def open(
        cls, redis_url: str, namespace: str, bells: MemoryDoorbell | None = None
    ) -> AsyncGenerator[Self]:
        """A doorbell that listens at once or, if the server is away, as soon as it is back.

        Processes with the same `namespace` ring one another.
        """
        channel = _CHANNEL.format(namespace=namespace)
        broadcast = Broadcast(backend=RedisBackend(redis_url, channel))
        async with broadcast, broadcast.subscribe(channel) as subscriber:
            doorbell = cls(broadcast, channel, MemoryDoorbell() if bells is None else bells)
            tasks = [
                asyncio.create_task(doorbell._receive(subscriber)),
                asyncio.create_task(
                    doorbell._outbox.send_by(doorbell._publish, RedisError, OSError)
                ),
            ]
            try:
                yield doorbell
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    def ring(self, name: str) -> None:
        self._bells.ring(name)
        self._outbox.add(name)

    def listen(self, name: str) -> AbstractAsyncContextManager[Bell]:
        return self._bells.listen(name)

    async def _receive(self, subscriber: _Subscriber) -> NoReturn:
        while True:
            message = (await subscriber.get()).message
            sender, _, name = message.partition(" ")
            if message == RESTORED:
                self._bells.ring_all()
            elif sender != self._sender_id:
                self._bells.ring(name)

    async def _publish(self, names: list[str]) -> None:
        for name in names:
            await self._broadcast.publish(self._channel, f"{self._sender_id} {name}")
