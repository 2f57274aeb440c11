"""Requests on a fixed schedule (open loop): each is timed from the moment it was scheduled for."""

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
    """`position` is the value of `Rollbook-Position`, 0 if the answer has no such header."""

    status: int
    position: int
    body: bytes


class Times(Struct, frozen=True):
    """Seconds from the scheduled moments of requests until their answers."""

    p50: float
    p95: float
    max: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> Self:
        cuts = statistics.quantiles(seconds, n=20)
        return cls(cuts[9], cuts[18], max(seconds))


class Client:
    """A client that opens one connection for each request in progress, and reuses idle ones."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._free: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def ask(self, request: bytes, *, status: int = 200) -> Reply:
        """Sends a request and returns its answer. Raises `UnexpectedAnswer` for another status."""
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
        """Sends these requests in turn, `rate` per second, however long the answers take."""
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
            # The server closes a connection that was idle for some seconds.
            if not reader.at_eof():
                return reader, writer
            writer.close()
        return await asyncio.open_connection("127.0.0.1", self._port)
