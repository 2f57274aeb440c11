"""Finds, freezes and ends the processes and sessions of a Postgres server."""

import asyncio
import os
import signal
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Final

import psycopg

from infrastructure.embedded.postgres import EmbeddedPostgres

_WRITERS: Final = """
SELECT pid FROM pg_stat_activity
WHERE starts_with(application_name, 'rollbook writer') AND datname = current_database()
ORDER BY backend_start"""
_TERMINATE: Final = f"SELECT count(pg_terminate_backend(pid)) FROM ({_WRITERS}) AS writers"

_TERMINATE_ALL: Final = """
SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()"""

_TIMEOUT_SECONDS: Final = 10.0
_WAITING_FOR_LOCK: Final = """
SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"""


async def writers(url: str) -> list[int]:
    """The ids of the backends that serve the writers of this database, oldest first."""
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        return [row[0] for row in await (await connection.execute(_WRITERS)).fetchall()]


async def terminate_writers(url: str) -> None:
    """End the writers' sessions, as an administrator does."""
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        await connection.execute(_TERMINATE)


async def terminate_all(url: str) -> None:
    """End all other sessions of this database, and wait until they have ended."""
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        await connection.execute(_TERMINATE_ALL)


@asynccontextmanager
async def append_lock(url: str) -> AsyncGenerator[None]:
    """Hold the lock of the append function; writers wait for it."""
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        await connection.execute("SELECT pg_advisory_lock(1383034987, 1)")
        yield


async def waiting_for_lock(url: str, *, count: int = 1) -> int:
    """Wait until `count` backends wait for an advisory lock of this database; the id of one.

    Raises `TimeoutError` after 10 s.
    """
    async with (
        asyncio.timeout(_TIMEOUT_SECONDS),
        await psycopg.AsyncConnection.connect(url, autocommit=True) as connection,
    ):
        while True:
            rows = await (await connection.execute(_WAITING_FOR_LOCK)).fetchall()
            if len(rows) >= count:
                return rows[0][0]
            await asyncio.sleep(0.01)


@contextmanager
def frozen(*processes: int) -> Generator[None]:
    """Freeze the processes inside this context; skip processes that have ended."""
    for process in processes:
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGSTOP)
    try:
        yield
    finally:
        for process in processes:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGCONT)


def server_processes(postmaster: int) -> list[int]:
    """The ids of the postmaster and of its children."""
    children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()
    return [postmaster, *map(int, children)]


async def kill(server: EmbeddedPostgres) -> None:
    """Kill all processes of the server at once, as a crash of the machine does."""
    assert server.pid is not None
    processes = server_processes(server.pid)
    for process in processes:
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
    await server.wait()
    # A killed process may keep its sockets open for a moment.
    while any(_holds_files(process) for process in processes):
        await asyncio.sleep(0.01)


def _holds_files(process: int) -> bool:
    try:
        return any(Path(f"/proc/{process}/fd").iterdir())
    except OSError:
        return False
