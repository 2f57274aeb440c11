"""High-water marks in Redis, which may lose them: a hash for each log."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, Protocol, Self, cast
from uuid import UUID

from redis.asyncio import Redis
from redis.exceptions import RedisError

from application.context import TENANT
from application.log.high_water import Epoch, Marks, MarksUnavailable
from infrastructure.redis_pool import redis_pool

# A start, and a writer that reconnects, wait for it.
_REPLY_SECONDS: Final = 0.5
_RAISE: Final = Path(__file__).with_name("raise.lua")


class _Script(Protocol):
    def __call__(self, keys: Sequence[str], args: Sequence[str | int]) -> Awaitable[object]: ...


class _Client(Protocol):
    """The commands in use; redis-py's own annotations do not say what is awaitable."""

    def hgetall(self, name: str) -> Awaitable[Mapping[bytes, bytes]]: ...

    def register_script(self, script: str) -> _Script: ...

    async def aclose(self) -> None: ...


class RedisHighWaterMarks:
    """See `HighWaterMarks`."""

    def __init__(self, client: _Client) -> None:
        self._client = client
        self._raise = client.register_script(_RAISE.read_text())

    @classmethod
    @asynccontextmanager
    async def open(cls, redis_url: str) -> AsyncGenerator[Self]:
        """Connects at the first use."""
        client = _client(redis_url)
        try:
            yield cls(client)
        finally:
            await client.aclose()

    async def read(self, log_id: UUID) -> Marks:
        found = await _answer(self._client.hgetall(_key(log_id)))
        try:
            return {Epoch.parse(epoch.decode()): int(mark) for epoch, mark in found.items()}
        except ValueError as error:
            raise MarksUnavailable from error

    async def raise_to(self, log_id: UUID, marks: Marks) -> None:
        arguments = [part for epoch, mark in marks.items() for part in (str(epoch), mark)]
        await _answer(self._raise([_key(log_id)], arguments))


def _key(log_id: UUID) -> str:
    return f"rollbook:{TENANT}.{log_id}:high-water"


async def _answer(reply: Awaitable[Any]) -> Any:
    try:
        async with asyncio.timeout(_REPLY_SECONDS):
            return await reply
    except (RedisError, OSError) as error:
        raise MarksUnavailable from error


def _client(redis_url: str) -> _Client:
    pool = redis_pool(redis_url, "high-water", connections=2)
    return cast("_Client", Redis.from_pool(pool))
