"""A Redis back end for `broadcaster` that reconnects and reports when messages may be missing.

Broadcaster's own back end is ready before it has subscribed, and it does not reconnect.
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

# Sent instead of a message when messages may have been missed.
RESTORED: Final = ""

_CONNECTIONS: Final = 3
_REPLY_SECONDS: Final = 2.0
_MAX_UNREAD: Final = 64

log = get_logger(__name__)


class _Subscription(Protocol):
    """The part of redis-py's PubSub in use; its own annotations are incomplete."""

    async def subscribe(self, *channels: str) -> None: ...

    def get_message(self, *, timeout: float) -> Awaitable[Mapping[str, Any] | None]: ...

    async def ping(self) -> object: ...


class _Client(Protocol):
    def pubsub(self) -> AbstractAsyncContextManager[_Subscription]: ...

    async def publish(self, channel: str, message: str) -> int: ...

    async def aclose(self) -> None: ...


class RedisBackend(BroadcastBackend):
    """One subscription to one channel, from `connect` on, or as soon as the server is reachable.

    Equal unread messages are merged. When the subscription starts, or when more than 64 messages
    are unread, `RESTORED` replaces all of them. After `silent_seconds` without a message it pings
    the server.
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
        """Does nothing: the one channel is subscribed by `connect`."""

    async def unsubscribe(self, group: str) -> None:
        """Does nothing: the channel stays subscribed until `disconnect`."""

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
                        self._add(message)
            except (RedisError, OSError) as error:
                self._tried_to_listen.set()
                await back_off.wait(error)

    async def _messages(self, subscription: _Subscription) -> AsyncGenerator[str]:
        """`RESTORED` after subscribing, then messages. Raises `TimeoutError` without a reply."""
        async with asyncio.timeout(_REPLY_SECONDS):
            await subscription.subscribe(self._channel)
        pinged = False
        while True:
            received = await subscription.get_message(timeout=self._silent_seconds)
            if received is None:
                if pinged:
                    raise TimeoutError
                await subscription.ping()
            elif received["type"] == "subscribe":
                yield RESTORED
            elif received["type"] == "message":
                yield received["data"].decode()
            pinged = received is None

    def _add(self, message: str) -> None:
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
        # With a timeout, redis-py uses `wait_for`, which in Python 3.11 may swallow a cancellation.
        socket_timeout=None,
        # We retry with a pause; redis-py would retry ten times at once.
        retry=Retry(NoBackoff(), 0),
    )
    return cast("_Client", Redis.from_pool(pool))
