"""The base of embedded servers: a process, and a directory that is locked from start to stop."""

import asyncio
import signal
import subprocess
from abc import ABC, abstractmethod
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

from infrastructure.embedded.lock import DirectoryLock
from infrastructure.embedded.ownership import make_folder
from infrastructure.embedded.process import end, ended


class EmbeddedServer(ABC):
    """A server whose files lie in `directory`.

    It ends when the thread that called `start` ends (Linux), even by SIGKILL. After a crash of
    the server, call `start` again: the directory stays locked from the first `start` to `stop`.
    """

    stop_signals: ClassVar[tuple[signal.Signals, ...]]
    """Signals that stop it, the gentlest first."""
    stop_seconds: ClassVar[float]
    """Time to wait after each signal."""

    def __init__(self, directory: Path) -> None:
        self._home = directory.resolve()
        self._log = self._home / "server.log"
        self._lock = DirectoryLock(self._home)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    @abstractmethod
    def url(self) -> str:
        """The URL to connect to while it runs."""

    @property
    def pid(self) -> int | None:
        """The server's process number, None if it does not run."""
        return self._process.pid if self._process and self._process.poll() is None else None

    async def start(self) -> str:
        """Start the server; returns its URL when it accepts connections.

        Raises an `EmbeddedServerError`, whose message is one line for people.
        """
        make_folder(self._home)
        self._lock.acquire()
        try:
            command = await asyncio.to_thread(self._prepare)
            await self._launch(command)
        except BaseException:
            await self.stop()
            raise
        return self.url

    async def stop(self) -> None:
        """Stop the server: open connections are closed. Idempotent."""
        if self._process is not None:
            await end(self._process, *self.stop_signals, timeout_seconds=self.stop_seconds)
            self._process = None
            self._clean_up()
        self._lock.release()

    async def wait(self) -> int:
        """Wait until the server ends; its exit code."""
        return await ended(self._process) if self._process else 0

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.stop()

    @abstractmethod
    def _prepare(self) -> list[str]:
        """Prepare the directory; return the command that starts the server."""

    @abstractmethod
    async def _launch(self, command: list[str]) -> None:
        """Start the process; returns when it accepts connections. Raises `StartFailed`."""

    @abstractmethod
    def _clean_up(self) -> None:
        """Remove files that a normal stop leaves behind."""
