"""The server's own processes, as tests freeze and end them."""

import os
import signal
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import psycopg

_WRITERS: Final = """
SELECT pid FROM pg_stat_activity
WHERE application_name = 'rollbook writer' AND datname = current_database() ORDER BY backend_start"""
_TERMINATE: Final = f"SELECT count(pg_terminate_backend(pid)) FROM ({_WRITERS}) AS writers"


async def writers(url: str) -> list[int]:
    """The processes that serve the writers of this database, the oldest first."""
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        return [row[0] for row in await (await connection.execute(_WRITERS)).fetchall()]


async def terminate_writers(url: str) -> None:
    """End their sessions, as an administrator does."""
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        await connection.execute(_TERMINATE)


@contextmanager
def frozen(*processes: int) -> Generator[None]:
    """The processes stand still inside this context; those that ended are passed over."""
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
    """A server's first process and all its children."""
    children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()
    return [postmaster, *map(int, children)]
