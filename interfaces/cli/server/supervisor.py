"""Starts servers in order, restarts a crashed one, and stops them in reverse."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, Protocol

import structlog

from infrastructure.embedded.errors import EmbeddedServerError
from interfaces.cli.errors import CommandFailed

FIRST_PAUSE: Final = 0.1
MAX_PAUSE: Final = 10.0
STEADY_SECONDS: Final = 30.0

log = structlog.get_logger()


class ServerFailed(CommandFailed):
    """A server ended while it started."""


FAILURES: Final = (ServerFailed, EmbeddedServerError)


class Server(Protocol):
    """Something that runs until it is stopped or crashes."""

    async def start(self) -> object:
        """Return when it is ready. Raises one of `FAILURES`, whose messages are for people."""
        ...

    async def wait(self) -> int:
        """Return when it ended, at once if it does not run; the exit code."""
        ...

    async def stop(self) -> None:
        """End it, also in the middle of its start. Idempotent."""
        ...


async def supervise(
    servers: Mapping[str, Server],
    stop: asyncio.Event,
    *,
    ready: Callable[[], Awaitable[object]],
) -> None:
    """Run the servers until `stop` is set, then drain them: the last started ends first.

    `ready` is awaited once, when all have started. A failure in the first start is raised and not
    retried, because a person waits for it.
    """
    work = asyncio.create_task(_run(servers, ready))
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({work, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if work.done():
            await work
    finally:
        for task in (work, stopping):
            task.cancel()
        await asyncio.wait({work})
        for server in reversed(list(servers.values())):
            await server.stop()


async def _run(servers: Mapping[str, Server], ready: Callable[[], Awaitable[object]]) -> None:
    for server in servers.values():
        await server.start()
    await ready()
    async with asyncio.TaskGroup() as tasks:
        for name, server in servers.items():
            tasks.create_task(_restart(name, server))


async def _restart(name: str, server: Server) -> None:
    """Restart the server whenever it ends; the pause grows while it ends soon."""
    pause = FIRST_PAUSE
    while True:
        began = time.monotonic()
        code = await server.wait()
        if time.monotonic() - began > STEADY_SECONDS:
            pause = FIRST_PAUSE
        log.warning("server ended", server=name, exit_code=code, starts_again_in=pause)
        await asyncio.sleep(pause)
        pause = min(2 * pause, MAX_PAUSE)
        try:
            await server.start()
        except FAILURES as error:
            log.error("server did not start", server=name, reason=str(error))
        except Exception:
            # Such as a full disk, or no memory for a process: it may be temporary.
            log.error("server did not start", server=name, exc_info=True)
        else:
            log.info("server started again", server=name)
