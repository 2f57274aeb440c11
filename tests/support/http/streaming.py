"""Real servers and WebSocket clients for tests of the live stream."""

import asyncio
import json
import socket
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest
from fastapi import FastAPI
from uuid_utils.compat import uuid7
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from application.access.ports import BearerVerifier
from application.doorbell import LOG
from application.live.notifications import NoticeBoard
from interfaces.cli.server.http_server import http_server
from interfaces.stream.websocket import EventStream
from tests.support.doubles.notifications import InMemoryNotifications
from tests.support.http.directory import Directory
from tests.support.http.peers import with_services
from tests.support.log.drafts import change, registration

Json = dict[str, Any]


class StreamingDirectory(Directory):
    """A directory in memory with its live stream; `services` replace those of `Directory`."""

    def __init__(
        self,
        *,
        services: Mapping[str, Any] | None = None,
        jwts: BearerVerifier | None = None,
        **stream: Any,
    ) -> None:
        super().__init__(jwts=jwts)
        with_services(self, **(services or {}))
        self.notices = InMemoryNotifications(self.doorbell, uuid7, self.services.now)
        board = NoticeBoard(self.notices, self.doorbell)
        all_services = self.services
        stream_of = EventStream(
            self.tail,
            all_services.callers,
            all_services.tickets,
            board,
            all_services.openings,
            **stream,
        )
        stream_of.add_to(self.app)

    async def register(self, count: int = 1, name: str = "Åsa") -> None:
        """Register this many users; each is one event."""
        for _ in range(count):
            await self.log.append(registration(name=name))
        self.doorbell.ring(LOG)

    async def promote(self) -> None:
        """Register a user, and change the role: an event without personal data."""
        draft = registration()
        await self.log.append(draft)
        await self.log.append(change(draft.stream, 1))
        self.doorbell.ring(LOG)


@asynccontextmanager
async def served(app: FastAPI, port: int = 0) -> AsyncGenerator[str]:
    """Serve the application with the product's own server; the URL."""
    with socket.create_server(("127.0.0.1", port)) as listener:
        async with http_server(app, listener, lambda: None):
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@asynccontextmanager
async def streaming(url: str, **first: Any) -> AsyncGenerator[ClientConnection]:
    """A stream, opened with a first message; the test reads its `ready`."""
    async with stream_socket(url) as stream:
        await stream.send(json.dumps({"token": "reader", **first}))
        yield stream


def stream_socket(url: str, query: str = "", token: str | None = None) -> connect:
    """A connection; a token is sent in a header."""
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    address = f"{url.replace('http', 'ws', 1)}/v1/stream{query}"
    return connect(address, additional_headers=headers, proxy=None)


async def frame(stream: ClientConnection, seconds: float = 5) -> Json:
    """The next frame of any kind."""
    async with asyncio.timeout(seconds):
        return json.loads(await stream.recv())


async def events(stream: ClientConnection, count: int) -> list[Json]:
    """At least this many events, from the next frames."""
    found: list[Json] = []
    while len(found) < count:
        found += (await frame(stream)).get("events", [])
    return found


async def closed(stream: ClientConnection, seconds: float = 5) -> tuple[int, str]:
    """The code and the reason with which the server closes the stream, after its last frames."""
    async with asyncio.timeout(seconds):
        with pytest.raises(ConnectionClosed) as end:
            await _read_to_the_end(stream)
    assert end.value.rcvd is not None, "the connection ended without a close frame"
    return end.value.rcvd.code, end.value.rcvd.reason


async def _read_to_the_end(stream: ClientConnection) -> None:
    while True:
        await stream.recv()
