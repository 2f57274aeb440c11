"""Data directories in which Rollbook has run once: the next start takes half the time."""

import atexit
import fcntl
import os
import shutil
import tempfile
from functools import cache
from pathlib import Path
from typing import Final

from tests.support.servers.rollbook import RunningRollbook

SHARED_FOLDER: Final = "ROLLBOOK_TEST_SHARED_FOLDER"
"""The variable that names the folder that all workers of a test run share."""


def prepared(data_dir: Path) -> Path:
    """Make `data_dir` a prepared copy: an empty log, and a database with the newest schema."""
    shutil.copytree(_template(), data_dir)
    return data_dir


@cache
def _template() -> Path:
    if shared := os.environ.get(SHARED_FOLDER):
        with Path(shared, "prepared.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            return _run_once(Path(shared, "prepared"))
    folder = Path(tempfile.mkdtemp(prefix="rollbook-prepared-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return _run_once(folder)


def _run_once(folder: Path) -> Path:
    done = folder / "done"
    if not done.exists():
        folder.mkdir(exist_ok=True)
        with RunningRollbook(folder / "data"):
            pass
        done.touch()
    return folder / "data"
