"""Connections that send any bytes, and what the server answers to them."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final

from msgspec import Struct

WEBSOCKET: Final = (
    "Connection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)
COMMON_HEADERS: Final = {
    "x-request-id",
    "rollbook-version",
    "x-content-type-options",
    "referrer-policy",
}


class Answer(Struct):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def slug(self) -> str:
        return json.loads(self.body)["type"].removeprefix("/problems/")

    @property
    def is_refusal(self) -> bool:
        """Whether it is a problem with all common headers, after which the connection ends."""
        problem = self.headers.get("content-type") == "application/problem+json"
        closes = self.headers.get("connection") == "close"
        is_malformed = (self.status, self.slug if problem else "") == (400, "malformed-request")
        return is_malformed and closes and set(self.headers) >= COMMON_HEADERS


class Wire:
    """One connection that sends any bytes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def send(self, data: str | bytes) -> None:
        self._writer.write(data if isinstance(data, bytes) else data.encode("latin-1"))
        await self._writer.drain()

    async def answer(self) -> Answer:
        """The next answer; a final answer has a length."""
        async with asyncio.timeout(5):
            head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            pairs = (line.partition(": ") for line in head[1:-2])
            headers = {name.lower(): value for name, _, value in pairs}
            body = await self._reader.readexactly(int(headers.get("content-length", 0)))
        return Answer(int(head[0].split()[1]), headers, body)

    async def read(self, size: int) -> bytes:
        async with asyncio.timeout(5):
            return await self._reader.readexactly(size)

    async def is_closed(self, seconds: float = 5) -> bool:
        """Whether the server closes the connection without sending more."""
        async with asyncio.timeout(seconds):
            try:
                return await self._reader.read() == b""
            except ConnectionResetError:
                return True

    async def send_until_closed(self, data: bytes, max_bytes: int) -> int:
        """The bytes that were sent until the server closed the connection."""
        sent = 0
        try:
            async with asyncio.timeout(10):
                while sent < max_bytes:
                    await self.send(data)
                    sent += len(data)
        except ConnectionError:
            pass
        return sent


@asynccontextmanager
async def wire_to(port: int) -> AsyncGenerator[Wire]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield Wire(reader, writer)
    finally:
        writer.close()


def request(line: str, headers: str = "", body: str = "", token: str | None = "admin") -> str:
    authorization = f"Authorization: Bearer {token}\r\n" if token else ""
    return f"{line} HTTP/1.1\r\nHost: x\r\n{authorization}{headers}\r\n{body}"


def frame(opcode: int, payload: bytes = b"", *, fin: bool = True, masked: bool = True) -> bytes:
    """A frame of a client with the mask 0, as RFC 6455, section 5.2, writes it."""
    first = (0x80 if fin else 0) | opcode
    mask = 0x80 if masked else 0
    if len(payload) < 126:
        head = bytes([first, mask | len(payload)])
    else:
        head = bytes([first, mask | 126]) + len(payload).to_bytes(2, "big")
    return head + bytes(4 if masked else 0) + payload
