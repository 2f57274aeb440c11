"""A cheap HTTP client, so that a benchmark over HTTP measures the server."""

import asyncio
import re
import statistics
from collections.abc import Callable, Collection
from math import inf
from time import perf_counter
from typing import Final, cast

from msgspec import Struct

_STATUS: Final = re.compile(rb"^HTTP/1\.1 (\d{3})")
_LENGTH: Final = re.compile(rb"\r\ncontent-length: (\d+)\r\n", re.IGNORECASE)

MakeRequest = Callable[[], bytes]


class UnexpectedAnswer(Exception):
    """The server answered with a status that the benchmark does not expect."""


class Load(Struct, frozen=True):
    """Answers per second, and percentiles of the response time in seconds."""

    per_second: float
    p50: float
    p99: float


def request(method: str, path: str, token: str, body: bytes = b"", **headers: str) -> bytes:
    """The bytes of a request on a keep-alive connection."""
    lines = [
        f"{method} {path} HTTP/1.1",
        "Host: benchmark",
        f"Authorization: Bearer {token}",
        *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items()),
    ]
    if body:
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, "", ""]).encode() + body


async def load(
    port: int,
    make_request: MakeRequest,
    *,
    connections: int,
    seconds: float,
    statuses: Collection[int] = (200,),
) -> Load:
    """Keeps that many connections busy, each with one request after the other.

    The measurement starts when each connection has had an answer, because a server needs some time
    to accept many connections at once. Raises `UnexpectedAnswer` for a status not in `statuses`.
    """
    loop = asyncio.get_running_loop()
    clients = [
        _Client(make_request, statuses, loop.create_future(), loop.create_future())
        for _ in range(connections)
    ]
    for client in clients:
        await loop.create_connection(lambda client=client: client, "127.0.0.1", port)
    await asyncio.gather(*(client.answered for client in clients))
    began = perf_counter()
    for client in clients:
        client.measure(began, began + seconds)
    await asyncio.gather(*(client.done for client in clients))
    took = perf_counter() - began
    times = sorted(time for client in clients for time in client.times)
    cuts = statistics.quantiles(times, n=100)
    return Load(len(times) / took, cuts[49], cuts[98])


class _Client(asyncio.Protocol):
    def __init__(
        self,
        make_request: MakeRequest,
        statuses: Collection[int],
        answered: asyncio.Future[None],
        done: asyncio.Future[None],
    ) -> None:
        self.times: list[float] = []
        self.answered = answered
        self.done = done
        self._make_request = make_request
        self._began = self._until = inf
        self._statuses = statuses
        self._buffer = b""
        self._sent = 0.0

    def measure(self, began: float, until: float) -> None:
        """Records the times of requests that are sent between `began` and `until`."""
        self._began, self._until = began, until

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._send()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, separator, rest = self._buffer.partition(b"\r\n\r\n")
        if not separator:
            return
        length = _LENGTH.search(head + b"\r\n")
        if len(rest) < (int(length[1]) if length else 0):
            return
        if self._sent >= self._began:
            self.times.append(perf_counter() - self._sent)
        status = _STATUS.match(head)
        if status is None or int(status[1]) not in self._statuses:
            self._end(UnexpectedAnswer(self._buffer.decode(errors="replace")))
            return
        self._buffer = b""
        if not self.answered.done():
            self.answered.set_result(None)
        if perf_counter() < self._until:
            self._send()
        else:
            self._end(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(exc or ConnectionError("the server closed the connection"))

    def _send(self) -> None:
        self._sent = perf_counter()
        self._transport.write(self._make_request())

    def _end(self, error: Exception | None) -> None:
        for future in (self.answered, self.done):
            if not future.done():
                if error is None:
                    future.set_result(None)
                else:
                    future.set_exception(error)
        self._transport.close()
