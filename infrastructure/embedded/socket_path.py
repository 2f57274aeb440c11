"""Where the embedded server's socket lies: beside the data, or where its path is short enough."""

import hashlib
import os
import stat
import tempfile
from pathlib import Path
from typing import Final

from infrastructure.embedded.errors import NotPrivate

SOCKET: Final = ".s.PGSQL.5432"
LONGEST_PATH: Final = 107  # bytes in sockaddr_un on Linux; other systems allow fewer
PORTABLE_PATH: Final = 103


def socket_directory(home: Path) -> Path:
    """A directory for the socket, 0700: `home/socket` unless that path cannot be a socket's.

    The kernel limits a socket's path, and both server and client read a comma as "or".
    Raises `NotPrivate`.
    """
    directory = home / "socket"
    if "," in str(directory) or len(os.fsencode(directory / SOCKET)) > PORTABLE_PATH:
        digest = hashlib.sha256(os.fsencode(home)).hexdigest()[:16]
        directory = Path(tempfile.gettempdir()) / f"rollbook-{os.geteuid()}-{digest}"
    directory.mkdir(mode=0o700, exist_ok=True)
    status = directory.lstat()
    if not stat.S_ISDIR(status.st_mode) or (os.geteuid() not in (0, status.st_uid)):
        raise NotPrivate(directory)
    directory.chmod(0o700)
    return directory
