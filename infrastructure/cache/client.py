"""The part of redis-py in use: a few typed commands over a small pool without retries."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, Protocol, Self, cast

from redis.asyncio import Redis
from redis.exceptions import RedisError

from application.cache.ports import CacheUnavailable
from infrastructure.redis_pool import redis_pool

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
    """A client with its own pool: see `redis_pool`."""
    client = Redis.from_pool(redis_pool(redis_url, "cache", connections=_CONNECTIONS))
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
