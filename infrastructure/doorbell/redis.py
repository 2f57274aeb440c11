"""A back end of `broadcaster` on Redis that hears what it says it hears, and says when it did not.

Broadcaster's own is ready before it has subscribed, and nobody connects it again.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Mapping
from contextlib import AbstractAsyncContextManager, aclosing
from typing import Any, Final, NoReturn, Protocol, cast

from broadcaster import BroadcastBackend, Event
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from structlog import get_logger

from application.retry import BackOff

# Instead of a message: anything may have been missed.
RESTORED: Final = ""

_CONNECTIONS: Final = 3
_REPLY_SECONDS: Final = 2.0
_MAX_UNREAD: Final = 64

log = get_logger(__name__)


class _Subscription(Protocol):
    """What is used of redis-py's, whose own annotations leave much open."""

    async def subscribe(self, *channels: str) -> None: ...

    def get_message(self, *, timeout: float) -> Awaitable[Mapping[str, Any] | None]: ...

    async def ping(self) -> object: ...


class _Client(Protocol):
    def pubsub(self) -> AbstractAsyncContextManager[_Subscription]: ...

    async def publish(self, channel: str, message: str) -> int: ...

    async def aclose(self) -> None: ...


class RedisBackend(BroadcastBackend):
    """One subscription to one channel, from `connect` on, or as soon as the server is there.

    A message that comes again before it was read counts once. Whenever the subscription begins,
    or more messages wait than anybody reads, `RESTORED` stands for all of them. After
    `silent_seconds` without a message it asks whether the server is still there.
    """

    def __init__(self, redis_url: str, channel: str, silent_seconds: float = 5.0) -> None:
        self._channel = channel
        self._silent_seconds = silent_seconds
        self._unread: dict[str, None] = {}
        self._some_unread = asyncio.Event()
        self._tried_to_listen = asyncio.Event()
        self._listening: asyncio.Task[None] | None = None
        self._client = _client(redis_url)

    async def connect(self) -> None:
        self._listening = asyncio.create_task(self._listen())
        await self._tried_to_listen.wait()

    async def disconnect(self) -> None:
        if self._listening is not None:
            self._listening.cancel()
            await asyncio.wait({self._listening})
        await self._client.aclose()

    async def subscribe(self, group: str) -> None:
        """There is one channel, and it is heard already."""

    async def unsubscribe(self, group: str) -> None:
        """It is heard until `disconnect`."""

    async def publish(self, channel: str, message: Any) -> None:
        """Raises redis-py's errors or `TimeoutError`."""
        async with asyncio.timeout(_REPLY_SECONDS):
            await self._client.publish(channel, message)

    async def next_published(self) -> Event:
        while not self._unread:
            self._some_unread.clear()
            await self._some_unread.wait()
        message = next(iter(self._unread))
        del self._unread[message]
        return Event(self._channel, message)

    async def _listen(self) -> NoReturn:
        back_off = BackOff("doorbell")
        while True:
            try:
                async with (
                    self._client.pubsub() as subscription,
                    aclosing(self._messages(subscription)) as messages,
                ):
                    async for message in messages:
                        if message == RESTORED:
                            log.info("doorbell_listens", over="redis")
                            back_off.reset()
                            self._tried_to_listen.set()
                        self._hear(message)
            except (RedisError, OSError) as error:
                self._tried_to_listen.set()
                await back_off.wait(error)

    async def _messages(self, subscription: _Subscription) -> AsyncGenerator[str]:
        """`RESTORED` once the channel is heard, then what is said there, until the peer is mute."""
        async with asyncio.timeout(_REPLY_SECONDS):
            await subscription.subscribe(self._channel)
        asked = False
        while True:
            heard = await subscription.get_message(timeout=self._silent_seconds)
            if heard is None:
                if asked:
                    raise TimeoutError
                await subscription.ping()
            elif heard["type"] == "subscribe":
                yield RESTORED
            elif heard["type"] == "message":
                yield heard["data"].decode()
            asked = heard is None

    def _hear(self, message: str) -> None:
        if len(self._unread) == _MAX_UNREAD:
            self._unread.clear()
            message = RESTORED
        self._unread[message] = None
        self._some_unread.set()


def _client(redis_url: str) -> _Client:
    pool = cast("Any", BlockingConnectionPool).from_url(
        redis_url,
        max_connections=_CONNECTIONS,
        timeout=_REPLY_SECONDS,
        socket_connect_timeout=_REPLY_SECONDS,
        # With one, redis-py sends by `wait_for`, which in Python 3.11 may swallow a cancellation.
        socket_timeout=None,
        # What fails is tried again by us, with a pause; redis-py would do so ten times at once.
        retry=Retry(NoBackoff(), 0),
    )
    return cast("_Client", Redis.from_pool(pool))
