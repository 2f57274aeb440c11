"""A receiver of webhooks over plain HTTP: it records each request and answers as a test says."""

import asyncio
import contextlib
import ssl
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from msgspec import Struct


class Received(Struct, frozen=True):
    """One request."""

    target: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def event_id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def envelope(self) -> dict[str, Any]:
        return msgspec.json.decode(self.body)

    @property
    def user(self) -> str:
        return self.envelope.get("subject", "")

    @property
    def position(self) -> int:
        return int(self.envelope["position"])


Answers = Callable[[Received], Awaitable[int | bytes]]
"""The status with which a request is answered, or the bytes of the whole answer."""


async def accept(_: Received) -> int:
    return 204


class Receiver:
    """`received` has all requests in order, also those that were not accepted.

    `max_at_once` is the largest number of requests that were open at the same time, and
    `max_per_user` that of one user.
    """

    def __init__(self, answers: Answers) -> None:
        self.answers = answers
        self.received: list[Received] = []
        self.accepted: list[Received] = []
        self.connections = 0
        self.max_at_once = 0
        self.max_per_user = 0
        self.port = 0
        self._open = Counter[str]()
        self._writers = set[asyncio.StreamWriter]()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    @classmethod
    @asynccontextmanager
    async def open(
        cls, answers: Answers = accept, *, tls: ssl.SSLContext | None = None, port: int = 0
    ) -> AsyncGenerator["Receiver"]:
        receiver = cls(answers)
        server = await asyncio.start_server(receiver._serve, "127.0.0.1", port, ssl=tls)
        receiver.port = server.sockets[0].getsockname()[1]
        try:
            yield receiver
        finally:
            server.close()
            receiver.close_connections()

    def close_connections(self) -> None:
        """Close them as a server does that has had no request for some time."""
        for writer in self._writers:
            writer.close()
        self._writers.clear()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.add(writer)
        with contextlib.suppress(asyncio.IncompleteReadError, OSError):
            while True:
                request = await _read(reader)
                writer.write(await self._answered(request))
                await writer.drain()
        self._writers.discard(writer)
        writer.close()

    async def _answered(self, request: Received) -> bytes:
        self.received.append(request)
        user = request.user
        self._open[user] += 1
        self.max_at_once = max(self.max_at_once, self._open.total())
        self.max_per_user = max(self.max_per_user, self._open[user])
        try:
            answer = await self.answers(request)
        finally:
            self._open[user] -= 1
        if isinstance(answer, bytes):
            return answer
        if 200 <= answer < 300:
            self.accepted.append(request)
        return b"HTTP/1.1 %d Answer\r\ncontent-length: 0\r\n\r\n" % answer


async def _read(reader: asyncio.StreamReader) -> Received:
    head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    headers = {
        name.lower(): value
        for name, _, value in (line.partition(": ") for line in head[1:] if line)
    }
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Received(head[0].split(" ")[1], headers, body)
