"""Looks names up in threads of its own, so that a name server that hangs delays no other work."""

import asyncio
import socket
import threading
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Final

Resolve = Callable[[str], Awaitable[Sequence[str]]]
"""All addresses of a name, in the order in which to try them. Raises `OSError`."""

# The library's look-up cannot be cancelled and may take half a minute.
_MAX_THREADS: Final = 128


class SystemResolver:
    """Resolves as the system is configured to.

    Callers that look up the same name share one look-up, so a name has one thread at a time. The
    event loop's own threads, which other work needs, are not used.
    """

    def __init__(self, look_up: Callable[[str], Sequence[str]] | None = None) -> None:
        self._look_up = look_up or _addresses
        self._running: dict[str, asyncio.Future[Sequence[str]]] = {}

    async def __call__(self, name: str) -> Sequence[str]:
        running = self._running.get(name)
        if running is None:
            if len(self._running) >= _MAX_THREADS:
                raise OSError("too many names are being looked up")
            running = self._start(name)
        # A caller that gives up must not cancel the look-up for the others.
        return await asyncio.shield(running)

    def _start(self, name: str) -> asyncio.Future[Sequence[str]]:
        loop = asyncio.get_running_loop()
        running = self._running[name] = loop.create_future()

        def done(found: Sequence[str] | OSError) -> None:
            del self._running[name]
            if isinstance(found, OSError):
                running.set_exception(found)
                running.exception()  # perhaps nobody waits any more
            else:
                running.set_result(found)

        def run() -> None:
            found: Sequence[str] | OSError
            try:
                found = self._look_up(name)
            except (OSError, UnicodeError) as error:
                found = error if isinstance(error, OSError) else OSError("the name is not valid")
            with suppress(RuntimeError):  # the event loop has ended meanwhile
                loop.call_soon_threadsafe(done, found)

        threading.Thread(target=run, name="webhook-name", daemon=True).start()
        return running


def _addresses(name: str) -> Sequence[str]:
    found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[4][0]) for address in found))
