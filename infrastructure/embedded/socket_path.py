"""The directory of an embedded server's socket: beside its data, unless that path is too long."""

import contextlib
import hashlib
import os
import stat
import tempfile
from pathlib import Path
from typing import Final

from infrastructure.embedded.errors import NotPrivate

MAX_PATH_BYTES: Final = 103  # bytes; Linux would take 107


def socket_directory(home: Path, socket: str) -> Path:
    """`home/socket`, or a directory in the temporary directory if that path cannot hold a socket.

    The kernel limits the length of a socket's path; Postgres and its clients parse it from a list.
    """
    beside = home / "socket"
    plain = not set(str(beside)) & {",", '"'}
    if plain and len(os.fsencode(beside / socket)) <= MAX_PATH_BYTES:
        return beside
    digest = hashlib.sha256(os.fsencode(home)).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"rollbook-{os.geteuid()}-{digest}"


def make_private(directory: Path) -> None:
    """Make the directory, open only to its owner. Raises `NotPrivate` if another user owns it."""
    directory.mkdir(mode=0o700, exist_ok=True)
    status = directory.lstat()
    if not stat.S_ISDIR(status.st_mode) or os.geteuid() not in (0, status.st_uid):
        raise NotPrivate(directory)
    directory.chmod(0o700)


def remove_if_empty(directory: Path) -> None:
    """Clean up after a normal stop; a directory left by a killed server is reused."""
    with contextlib.suppress(OSError):
        directory.rmdir()
