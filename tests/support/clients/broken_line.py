"""A TCP proxy between a client and a server that cuts its connections on demand."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from typing import Final, Self
from urllib.parse import urlsplit

_CHUNK: Final = 1 << 16


class BrokenLine:
    """`url` is the server's through the proxy; `cut` resets all connections without a close."""

    def __init__(self, server_url: str) -> None:
        address = urlsplit(server_url)
        self._target = (address.hostname, address.port)
        self._writers: set[asyncio.StreamWriter] = set()
        self.url = ""

    @classmethod
    @asynccontextmanager
    async def to(cls, server_url: str) -> AsyncGenerator[Self]:
        line = cls(server_url)
        server = await asyncio.start_server(line._accept, "127.0.0.1", 0)
        parts = urlsplit(server_url)
        account, at, _ = parts.netloc.rpartition("@")
        place = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        line.url = parts._replace(netloc=account + at + place).geturl()
        try:
            yield line
        finally:
            server.close()
            line.cut()

    def cut(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await asyncio.open_connection(*self._target)
        both = {writer, server_writer}
        self._writers |= both
        try:
            await asyncio.gather(
                self._copy(reader, server_writer), self._copy(server_reader, writer)
            )
        finally:
            self._writers -= both

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(_CHUNK):
                writer.write(data)
                await writer.drain()
        writer.close()
