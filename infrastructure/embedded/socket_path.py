"""Where an embedded server's socket lies: beside its data, or where its path is short enough."""

import contextlib
import hashlib
import os
import stat
import tempfile
from pathlib import Path
from typing import Final

from infrastructure.embedded.errors import NotPrivate

LONGEST_PATH: Final = 103  # bytes; Linux would take 107


def socket_directory(home: Path, socket: str) -> Path:
    """`home/socket`, unless a path in it cannot be a socket's: then one in the temporary directory.

    The kernel limits a socket's path, and Postgres and its clients take it from a list.
    """
    beside = home / "socket"
    plain = not set(str(beside)) & {",", '"'}
    if plain and len(os.fsencode(beside / socket)) <= LONGEST_PATH:
        return beside
    digest = hashlib.sha256(os.fsencode(home)).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"rollbook-{os.geteuid()}-{digest}"


def make_private(directory: Path) -> None:
    """Make the directory, open to its owner only. Raises `NotPrivate` where it is another's."""
    directory.mkdir(mode=0o700, exist_ok=True)
    status = directory.lstat()
    if not stat.S_ISDIR(status.st_mode) or os.geteuid() not in (0, status.st_uid):
        raise NotPrivate(directory)
    directory.chmod(0o700)


def remove_if_empty(directory: Path) -> None:
    """Tidy up after a server that ended well; what a killed one left is used again."""
    with contextlib.suppress(OSError):
        directory.rmdir()
