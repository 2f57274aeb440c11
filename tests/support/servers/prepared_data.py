"""Data directories in which a server has run once: a start there takes half the time of a first one."""

import asyncio
import atexit
import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Final

from infrastructure.migrations import migrate
from tests.support.servers.postgres import postgres_on
from tests.support.servers.rollbook import RunningRollbook

SHARED_FOLDER: Final = "ROLLBOOK_TEST_SHARED_FOLDER"
"""The variable that names a folder of all workers of a test run."""


def prepared(data_dir: Path) -> Path:
    """Fill `data_dir` with an empty log, and a database with the newest schema."""
    shutil.copytree(_made_once("rollbook", _run_rollbook), data_dir)
    return data_dir


def prepared_postgres(directory: Path) -> Path:
    """Fill `directory` with a Postgres cluster whose `rollbook` database is migrated.

    All these clusters have the same system identifier. Raises `NoServerFound`.
    """
    shutil.copytree(_made_once("postgres", _run_postgres), directory)
    return directory


def _run_rollbook(data_dir: Path) -> None:
    with RunningRollbook(data_dir):
        pass


def _run_postgres(directory: Path) -> None:
    async def run() -> None:
        async with postgres_on(directory) as server:
            await migrate(server.url)

    asyncio.run(run())


@cache
def _made_once(name: str, make: Callable[[Path], None]) -> Path:
    """The data directory that the first worker makes and all workers copy."""
    shared = os.environ.get(SHARED_FOLDER)
    folder = Path(shared) if shared else Path(tempfile.mkdtemp(prefix="rollbook-prepared-"))
    if not shared:
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
    with (folder / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = folder / f"{name}.done"
        if not done.exists():
            make(folder / name)
            done.touch()
    return folder / name
