"""Serves the HTTP application on a socket; the caller decides when it ends."""

import asyncio
import socket
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from typing import Final

import uvicorn
from fastapi import FastAPI

from interfaces.cli.server.http_protocol import BoundedHttpProtocol
from interfaces.cli.server.websocket_protocol import BoundedWebSocketProtocol

DRAIN_SECONDS: Final = 10


@asynccontextmanager
async def http_server(
    application: FastAPI, listener: socket.socket, ready: Callable[[], None]
) -> AsyncGenerator[asyncio.Task[None]]:
    """A server, as its task; the context ends when the last request is answered."""
    server = ApplicationServer(
        uvicorn.Config(
            application,
            log_config=None,
            access_log=False,
            server_header=False,
            # Only the application knows which proxies are trusted; uvicorn trusts this machine.
            proxy_headers=False,
            http=BoundedHttpProtocol,
            timeout_graceful_shutdown=DRAIN_SECONDS,
            ws=BoundedWebSocketProtocol,
        ),
        ready,
    )
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield serving
    finally:
        server.should_exit = True
        await serving


class ApplicationServer(uvicorn.Server):
    """Calls `ready` when it has started, and leaves signals to us.

    uvicorn raises each signal again when it is done, which would end the process before the
    application's own connections and queues are drained.
    """

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._ready()
