"""What is used of redis-py: a few typed commands over a small pool that never tries again."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, Protocol, cast

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from application.cache.ports import CacheAway

_CONNECTIONS: Final = 8
_LUA: Final = Path(__file__).with_name("lua")


class Script(Protocol):
    async def __call__(self, keys: Sequence[str], args: Sequence[str | int | bytes]) -> object: ...


class Client(Protocol):
    """The part of redis-py in use; its own annotations leave open what is awaited."""

    async def mget(self, keys: Sequence[str]) -> Sequence[bytes | None]: ...

    async def getex(self, name: str, ex: int) -> bytes | None: ...

    async def set(self, name: str, value: str, *, ex: int, nx: bool = False) -> object: ...

    async def unlink(self, *names: str) -> int: ...

    async def ping(self) -> object: ...

    def scan_iter(self, match: str, count: int) -> AsyncIterator[bytes]: ...

    def register_script(self, script: str) -> Script: ...


@asynccontextmanager
async def open_client(redis_url: str) -> AsyncGenerator[Client]:
    """A client with a pool of its own; nothing is connected before the first command.

    It waits as long as the caller does: who asks sets the time, by cancelling, which costs the
    connection. What failed is not tried again here: whoever asks knows better than redis-py.
    """
    pool = cast("Any", BlockingConnectionPool).from_url(
        redis_url,
        max_connections=_CONNECTIONS,
        timeout=None,
        # With one, redis-py sends by `wait_for`, which in Python 3.11 may swallow a cancellation.
        socket_timeout=None,
        socket_connect_timeout=None,
        retry=Retry(NoBackoff(), 0),
        client_name="rollbook-cache",
    )
    client = Redis.from_pool(pool)
    try:
        yield cast("Client", client)
    finally:
        await client.aclose()


@asynccontextmanager
async def answered_within(seconds: float) -> AsyncGenerator[None]:
    """The server's errors in the block, and its silence, as the ports name them: `CacheAway`."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except (RedisError, OSError) as error:
        raise CacheAway from error


def script(client: Client, name: str) -> Script:
    """A script of the folder `lua`; it is sent when the server turns out not to know it."""
    return client.register_script(_LUA.joinpath(f"{name}.lua").read_text())
