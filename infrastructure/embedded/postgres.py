"""An embedded Postgres server: runs on a directory, ends with our process, survives any crash."""

import asyncio
import signal
import time
from pathlib import Path
from typing import ClassVar, Final
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
from infrastructure.embedded.orphan import end_orphan
from infrastructure.embedded.process import POLL_SECONDS, rotate_log, spawn
from infrastructure.embedded.programs import runnable_by
from infrastructure.embedded.server import EmbeddedServer
from infrastructure.embedded.socket_path import make_private, remove_if_empty, socket_directory

DATABASE: Final = "rollbook"
SOCKET: Final = ".s.PGSQL.5432"
READY_SECONDS: Final = 60.0  # crash recovery replays at most max_wal_size


class EmbeddedPostgres(EmbeddedServer):
    """Data, socket, log and lock lie in `directory`; no port is opened.

    The first start creates an empty database `rollbook`. Acknowledged commits survive any crash.
    """

    stop_signals: ClassVar = (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL)
    stop_seconds: ClassVar = 30.0

    def __init__(self, directory: Path, *, binaries: Path | None = None) -> None:
        super().__init__(directory)
        self._data = self._home / "data"
        self._socket = socket_directory(self._home, SOCKET)
        self._given_binaries = binaries

    @property
    def url(self) -> str:
        """The URL of the `rollbook` database, through the socket."""
        return self._url(DATABASE)

    def _prepare(self) -> list[str]:
        end_orphan(self._data, self._socket / f"{SOCKET}.lock")
        found = find_binaries(self._given_binaries, self._data)
        account = account_for(self._home)
        binaries = runnable_by(account, found)
        if not self._data.exists():
            initialise(self._data, binaries, account)
        make_private(self._socket)
        for path in (self._home, self._socket):
            account.own(path)
        rotate_log(self._log)
        return server_command(self._data, self._socket, binaries, account)

    async def _launch(self, command: list[str]) -> None:
        await self._start_until_ready(command)
        await self._create_database()

    async def _start_until_ready(self, command: list[str]) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while True:
            before = self._log.stat().st_size if self._log.exists() else 0
            self._process = spawn(command, self._log)
            while self._process.poll() is None and time.monotonic() < deadline:
                if is_ready(self._data, self._process.pid):
                    return
                await asyncio.sleep(POLL_SECONDS)
            output = self._log.read_bytes()[before:].decode(errors="replace")
            # The last sessions of a killed server may still be ending: they hold its memory.
            if "pre-existing shared memory" not in output or time.monotonic() > deadline:
                raise StartFailed("Postgres", self._log, reason_in(output))
            await asyncio.sleep(POLL_SECONDS)

    def _clean_up(self) -> None:
        if self._socket.parent != self._home:
            remove_if_empty(self._socket)

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
            reason = f"{type(error).__name__} {error.sqlstate or ''}".rstrip()
            raise StartFailed("Postgres", self._log, reason) from error

    def _url(self, database: str) -> str:
        return f"postgresql://{SUPERUSER}@/{database}?host={quote(str(self._socket), safe='/')}"


def is_ready(data: Path, process: int) -> bool:
    """Whether this process wrote "ready" to line 8 of the server's lock file."""
    try:
        lines = (data / "postmaster.pid").read_text().splitlines()
    except FileNotFoundError:
        return False
    return len(lines) > 7 and lines[0] == str(process) and lines[7].strip() == "ready"
