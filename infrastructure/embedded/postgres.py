"""A Postgres server of our own: started on a directory, ended with us, safe against any crash."""

import asyncio
import signal
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Final, Self
from urllib.parse import quote

import psycopg

from infrastructure.embedded.account import account_for
from infrastructure.embedded.binaries import find_binaries
from infrastructure.embedded.cluster import (
    SUPERUSER,
    initialise,
    reason_in,
    server_command,
)
from infrastructure.embedded.errors import StartFailed
from infrastructure.embedded.lock import DirectoryLock
from infrastructure.embedded.orphan import end_orphan
from infrastructure.embedded.process import POLL_SECONDS, end, ended, put_aside, spawn
from infrastructure.embedded.socket_path import make_private, remove_if_empty, socket_directory

DATABASE: Final = "rollbook"
SOCKET: Final = ".s.PGSQL.5432"
READY_SECONDS: Final = 60.0  # crash recovery replays at most max_wal_size
STOP_SECONDS: Final = 30.0


class EmbeddedPostgres:
    """A server on `directory`: data, socket, log and lock lie in it, and no port is opened.

    It ends when the thread that called `start` ends (Linux), even by SIGKILL. After a crash of
    the server, `start` again: the directory stays ours from the first `start` to `stop`.
    """

    def __init__(self, directory: Path, *, binaries: Path | None = None) -> None:
        self._home = directory.resolve()
        self._data = self._home / "data"
        self._log = self._home / "server.log"
        self._socket = socket_directory(self._home, SOCKET)
        self._given_binaries = binaries
        self._lock = DirectoryLock(self._home)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where to connect once it runs: the `rollbook` database, through the socket."""
        return self._url(DATABASE)

    @property
    def pid(self) -> int | None:
        """The server's process, None where it does not run."""
        return self._process.pid if self._process and self._process.poll() is None else None

    async def start(self) -> str:
        """Start the server, with an empty `rollbook` database the first time; return its URL.

        Raises an `EmbeddedServerError`, whose message is one line for people.
        """
        self._home.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock.acquire()
        try:
            command = await asyncio.to_thread(self._prepare)
            await self._launch(command)
            await self._create_database()
        except BaseException:
            await self.stop()
            raise
        return self.url

    async def stop(self) -> None:
        """End the server: open sessions are cut, nothing acknowledged is lost. Idempotent."""
        if self._process is not None:
            signals = (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL)
            await end(self._process, *signals, patience=STOP_SECONDS)
            self._process = None
            if self._socket.parent != self._home:
                remove_if_empty(self._socket)
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

    def _prepare(self) -> list[str]:
        """All that must be true before the server starts; the command that starts it."""
        end_orphan(self._data, self._socket / f"{SOCKET}.lock")
        binaries = find_binaries(self._given_binaries, self._data)
        account = account_for(self._home, binaries.postgres)
        if not self._data.exists():
            initialise(self._data, binaries, account)
        make_private(self._socket)
        for path in (self._home, self._socket):
            account.own(path)
        put_aside(self._log)
        return server_command(self._data, self._socket, binaries, account)

    async def _launch(self, command: list[str]) -> None:
        """Start the process; wait until it takes connections."""
        deadline = time.monotonic() + READY_SECONDS
        while True:
            before = self._log.stat().st_size if self._log.exists() else 0
            self._process = spawn(command, self._log)
            while self._process.poll() is None and time.monotonic() < deadline:
                if is_ready(self._data, self._process.pid):
                    return
                await asyncio.sleep(POLL_SECONDS)
            words = self._log.read_bytes()[before:].decode(errors="replace")
            # The last sessions of a killed server may still be ending: they hold its memory.
            if "pre-existing shared memory" not in words or time.monotonic() > deadline:
                raise StartFailed("Postgres", self._log, reason_in(words))
            await asyncio.sleep(POLL_SECONDS)

    async def _create_database(self) -> None:
        server = self._url("postgres")
        try:
            async with await psycopg.AsyncConnection.connect(server, autocommit=True) as session:
                found = await session.execute(
                    "SELECT FROM pg_database WHERE datname = %s", [DATABASE]
                )
                if found.rowcount == 0:
                    await session.execute(f"CREATE DATABASE {DATABASE}")
        except psycopg.Error as error:
            raise StartFailed("Postgres", self._log, reason_in(str(error))) from error

    def _url(self, database: str) -> str:
        return f"postgresql://{SUPERUSER}@/{database}?host={quote(str(self._socket), safe='/')}"


def is_ready(data: Path, process: int) -> bool:
    """Whether that process wrote "ready" to the server's lock file (its eighth line)."""
    try:
        lines = (data / "postmaster.pid").read_text().splitlines()
    except FileNotFoundError:
        return False
    return len(lines) > 7 and lines[0] == str(process) and lines[7].strip() == "ready"
