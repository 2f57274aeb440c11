"""What every embedded server has: a directory that it holds from start to stop, and a process."""

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
    """A server on `directory`, where its files lie.

    It ends when the thread that called `start` ends (Linux), even by SIGKILL. After a crash of
    the server, `start` again: the directory stays ours from the first `start` to `stop`.
    """

    stop_signals: ClassVar[tuple[signal.Signals, ...]]
    """What ends it, the gentlest first."""
    stop_seconds: ClassVar[float]
    """How long each of them is given."""

    def __init__(self, directory: Path) -> None:
        self._home = directory.resolve()
        self._log = self._home / "server.log"
        self._lock = DirectoryLock(self._home)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    @abstractmethod
    def url(self) -> str:
        """Where to connect once it runs."""

    @property
    def pid(self) -> int | None:
        """The server's process, None where it does not run."""
        return self._process.pid if self._process and self._process.poll() is None else None

    async def start(self) -> str:
        """Start the server; return its URL when it takes connections.

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
        """End the server: open connections are cut. Idempotent."""
        if self._process is not None:
            await end(self._process, *self.stop_signals, timeout_seconds=self.stop_seconds)
            self._process = None
            self._tidy_up()
        self._lock.release()

    async def wait(self) -> int:
        """Return when the server ended, with its exit code."""
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
        """Make true what must be before the server starts; return the command that starts it."""

    @abstractmethod
    async def _launch(self, command: list[str]) -> None:
        """Start the process; return when it takes connections. Raises `StartFailed`."""

    @abstractmethod
    def _tidy_up(self) -> None:
        """Remove what a server that ended well leaves behind."""
