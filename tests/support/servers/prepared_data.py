"""Data directories in which a Rollbook has run once: there the next one starts in half the time."""

import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path

from tests.support.servers.rollbook import RunningRollbook


def prepared(data_dir: Path) -> Path:
    """Make it such a directory: an empty log, and a database at the newest schema."""
    shutil.copytree(_made_once(), data_dir)
    return data_dir


@cache
def _made_once() -> Path:
    directory = Path(tempfile.mkdtemp(prefix="rollbook-prepared-"))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    with RunningRollbook(directory / "data"):
        pass
    return directory / "data"
