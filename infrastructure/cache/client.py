"""The part of redis-py in use: a few typed commands over a small pool without retries."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, Protocol, Self, cast

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from application.cache.ports import CacheUnavailable

_CONNECTIONS: Final = 8
_LUA: Final = Path(__file__).with_name("lua")


class Script(Protocol):
    async def __call__(self, keys: Sequence[str], args: Sequence[str | int | bytes]) -> object: ...


class Pipeline(Protocol):
    """Commands that are sent together; in a cluster each goes to its own node."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(self, *error: object) -> None: ...

    def unlink(self, *names: str) -> object: ...

    async def execute(self) -> object: ...


class Client(Protocol):
    """The commands in use; redis-py's own annotations do not say what is awaitable."""

    async def mget(self, keys: Sequence[str]) -> Sequence[bytes | None]: ...

    async def getex(self, name: str, ex: int) -> bytes | None: ...

    async def unlink(self, *names: str) -> int: ...

    def pipeline(self, transaction: bool) -> Pipeline: ...

    async def ping(self) -> object: ...

    def register_script(self, script: str) -> Script: ...


@asynccontextmanager
async def open_client(redis_url: str) -> AsyncGenerator[Client]:
    """A client with its own pool; it connects at the first command.

    It has no timeout: the caller sets one by cancelling, which closes the connection. It does not
    retry: that is the caller's decision.
    """
    pool = cast("Any", BlockingConnectionPool).from_url(
        redis_url,
        max_connections=_CONNECTIONS,
        timeout=None,
        # With a timeout, redis-py uses `wait_for`, which in Python 3.11 may swallow a cancellation.
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
    """Turns the server's errors in the block, and a timeout, into `CacheUnavailable`."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except (RedisError, OSError) as error:
        raise CacheUnavailable from error


def script(client: Client, name: str) -> Script:
    """A script of the folder `lua`; its text is sent only if the server does not know it."""
    return client.register_script(_LUA.joinpath(f"{name}.lua").read_text())
