"""Requests on a fixed schedule: what is late is late from the moment it was due, as for people."""

import asyncio
import re
import statistics
from collections.abc import Sequence
from time import perf_counter
from typing import Final, Self

from msgspec import Struct

from tests.benchmarks.http_load import UnexpectedAnswer

_LENGTH: Final = re.compile(rb"\r\ncontent-length: (\d+)\r\n", re.IGNORECASE)
_POSITION: Final = re.compile(rb"\r\nrollbook-position: (\d+)\r\n", re.IGNORECASE)
_STATUS: Final = re.compile(rb"^HTTP/1\.1 (\d{3})")


class Reply(Struct, frozen=True):
    """`position` is that of `Rollbook-Position`, 0 where the answer names none."""

    status: int
    position: int
    body: bytes


class Times(Struct, frozen=True):
    """Seconds from when requests were due until their answers were there."""

    p50: float
    p95: float
    most: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> Self:
        cuts = statistics.quantiles(seconds, n=20)
        return cls(cuts[9], cuts[18], max(seconds))


class Client:
    """As many connections to a port as requests are under way."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._free: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def ask(self, request: bytes, *, status: int = 200) -> Reply:
        """One request and its answer. Raises `UnexpectedAnswer` for another status."""
        reader, writer = await self._connection()
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        length, found = _LENGTH.search(head), _STATUS.match(head)
        body = await reader.readexactly(int(length[1])) if length else b""
        self._free.append((reader, writer))
        if found is None or int(found[1]) != status:
            raise UnexpectedAnswer((head + body).decode(errors="replace"))
        position = _POSITION.search(head)
        return Reply(status, int(position[1]) if position else 0, body)

    async def at_rate(self, requests: Sequence[bytes], rate: float, seconds: float) -> Times:
        """Ask these in turn, `rate` a second, whatever the answers take."""
        began = perf_counter()
        number = max(2, round(rate * seconds))

        async def one(n: int) -> float:
            due = began + n / rate
            await asyncio.sleep(due - perf_counter())
            await self.ask(requests[n % len(requests)])
            return perf_counter() - due

        return Times.of(await asyncio.gather(*(one(n) for n in range(number))))

    async def _connection(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        while self._free:
            reader, writer = self._free.pop()
            # The server hangs up on what was idle for some seconds.
            if not reader.at_eof():
                return reader, writer
            writer.close()
        return await asyncio.open_connection("127.0.0.1", self._port)
