"""A proxy between a client and a Postgres server that cuts the connection of an append."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from enum import Enum, auto
from pathlib import Path
from typing import Final, Self

from psycopg.conninfo import conninfo_to_dict, make_conninfo

_BATCH_START: Final = b'[{"stream":'
_CHUNK: Final = 1 << 20
_READY_FOR_QUERY_BYTES: Final = 6
_DELAY_SECONDS: Final = 0.3

Side = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Cut(Enum):
    """The place at which the connection of a batch breaks."""

    HALF_OF_THE_REQUEST = auto()
    AFTER_THE_REQUEST = auto()
    BEFORE_THE_REPLY = auto()
    END_OF_THE_REPLY = auto()
    LATE_REQUEST = auto()
    """The client's side breaks at once; the server gets the request 0.3 s later."""


class PostgresProxy:
    """Listens on its own Unix socket; `url` is the server's database through the proxy."""

    def __init__(self, server_url: str, directory: Path) -> None:
        target = conninfo_to_dict(server_url)
        self._host = str(target.get("host") or "127.0.0.1")
        self._port = int(target.get("port") or 5432)
        self._directory = directory
        self._next: Cut | None = None
        self._done = asyncio.Event()
        self._open = asyncio.Event()
        self._open.set()
        self._tasks: set[asyncio.Task[None]] = set()
        own = {"host": str(directory), "port": "5432", "hostaddr": None}
        self.url = make_conninfo("", **{**target, **own})

    @classmethod
    @asynccontextmanager
    async def to(cls, server_url: str, directory: Path) -> AsyncGenerator[Self]:
        """A proxy to the server; its socket is in `directory`, whose path must be short."""
        proxy = cls(server_url, directory)
        server = await asyncio.start_unix_server(proxy._accept, directory / ".s.PGSQL.5432")
        try:
            yield proxy
        finally:
            server.close()
            for task in proxy._tasks:
                task.cancel()
            await asyncio.gather(*proxy._tasks, return_exceptions=True)

    async def cut(self, cut: Cut) -> None:
        """Cut the connection of the next batch; returns when the connection is cut."""
        self._done.clear()
        self._next = cut
        await self._done.wait()

    def pause(self) -> None:
        """Delay new connections until `resume`, as a network that drops packets does."""
        self._open.clear()

    def resume(self) -> None:
        self._open.set()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve((reader, writer)))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, client: Side) -> None:
        try:
            await self._open.wait()
            await _Wire(self, client, await self._connect()).run()
        finally:
            client[1].transport.abort()

    async def _connect(self) -> Side:
        if self._host.startswith("/"):
            socket = f"{self._host}/.s.PGSQL.{self._port}"
            return await asyncio.open_unix_connection(socket, limit=_CHUNK)
        return await asyncio.open_connection(self._host, self._port, limit=_CHUNK)

    def take_cut(self) -> Cut | None:
        cut, self._next = self._next, None
        return cut

    def mark_done(self) -> None:
        self._done.set()


class _Wire:
    """One connection: copies bytes both ways until an end or a cut."""

    def __init__(self, proxy: PostgresProxy, client: Side, server: Side) -> None:
        self._proxy = proxy
        self._from_client, self._to_client = client
        self._from_server, self._to_server = server
        self._cut: Cut | None = None

    async def run(self) -> None:
        pumps = [asyncio.create_task(self._requests()), asyncio.create_task(self._replies())]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            self._to_client.transport.abort()
            self._to_server.transport.abort()
            if self._cut is not None:
                self._proxy.mark_done()

    async def _requests(self) -> None:
        while data := await self._from_client.read(_CHUNK):
            if _BATCH_START in data and (cut := self._proxy.take_cut()) is not None:
                self._cut = cut
                if await self._cut_request(data, cut):
                    return
            self._to_server.write(data)
            await self._to_server.drain()

    async def _cut_request(self, data: bytes, cut: Cut) -> bool:
        """Cut the request; False if the cut is in the reply."""
        match cut:
            case Cut.HALF_OF_THE_REQUEST:
                self._to_server.write(data[: len(data) // 2])
                await self._to_server.drain()
            case Cut.AFTER_THE_REQUEST:
                self._to_server.write(data)
                await self._to_server.drain()
            case Cut.LATE_REQUEST:
                self._to_client.transport.abort()
                await asyncio.sleep(_DELAY_SECONDS)
                self._to_server.write(data)
                await self._to_server.drain()
                await asyncio.sleep(_DELAY_SECONDS)
            case _:
                return False
        return True

    async def _replies(self) -> None:
        while data := await self._from_server.read(_CHUNK):
            if self._cut is Cut.BEFORE_THE_REPLY:
                return
            if self._cut is Cut.END_OF_THE_REPLY:
                self._to_client.write(data[:-_READY_FOR_QUERY_BYTES])
                await self._to_client.drain()
                return
            if self._cut is None:
                self._to_client.write(data)
                await self._to_client.drain()
