"""The application process: all roles, or one, behind a listening socket."""

import asyncio
import signal
import socket
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Final

import structlog
import uvicorn
import uvloop

from infrastructure.migrations import migrate
from infrastructure.suitability import UnsuitableServer, check_server
from interfaces.bootstrap import open_rollbook
from interfaces.logging import configure_logging, log_loop_error
from interfaces.settings import Settings

DRAIN_SECONDS: Final = 10

log = structlog.get_logger()


def serve(
    settings: Settings,
    listener: socket.socket,
    *,
    leash: socket.socket | None = None,
    migrating: bool = False,
) -> int:
    """Serve until told to stop, by a signal or by the end of the leash; return the exit code."""
    configure_logging(settings.log_level)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(settings, listener, leash, migrating))
    except UnsuitableServer as error:
        log.critical("application failed", reason=str(error))
        return 1
    except Exception:
        log.critical("application failed", exc_info=True)
        return 1
    log.info("stopped")
    return 0


async def _serve(
    settings: Settings, listener: socket.socket, leash: socket.socket | None, migrating: bool
) -> None:
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(log_loop_error)
    stop = asyncio.Event()
    for asked in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(asked, stop.set)
    url = settings.database_url.get_secret_value()
    await check_server(url)
    if migrating:
        await migrate(url)
    async with open_rollbook(settings) as rollbook:
        server = ApplicationServer(
            uvicorn.Config(
                rollbook.application,
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=DRAIN_SECONDS,
            ),
            started=lambda: _tell(listener, leash),
        )
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        waits: list[asyncio.Task[object]] = [asyncio.create_task(stop.wait())]
        if leash is not None:
            waits.append(asyncio.create_task(_until_let_go(leash)))
        try:
            await asyncio.wait([serving, *waits], return_when=asyncio.FIRST_COMPLETED)
        finally:
            log.info("draining")
            rollbook.stopping.set()
            server.should_exit = True
            await serving
            for wait in waits:
                wait.cancel()


class ApplicationServer(uvicorn.Server):
    """Says when it has started, and leaves signals to us.

    uvicorn raises each signal again when it is done, which would end the process before the
    application's own connections and queues are drained.
    """

    def __init__(self, config: uvicorn.Config, started: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_started = started

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_started()


def _tell(listener: socket.socket, leash: socket.socket | None) -> None:
    log.info("ready", address=listener.getsockname()[0], port=listener.getsockname()[1])
    if leash is not None:
        leash.send(b"1")


async def _until_let_go(leash: socket.socket) -> None:
    """Return when the supervisor's end of the leash is closed, whatever closed it."""
    leash.setblocking(False)
    loop = asyncio.get_running_loop()
    while await loop.sock_recv(leash, 1):
        pass
