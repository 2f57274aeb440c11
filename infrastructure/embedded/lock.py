"""Locks a directory for one process; the kernel releases the lock when the process ends."""

import fcntl
import os
from pathlib import Path

from infrastructure.embedded.errors import InUse, NotPrivate
from infrastructure.embedded.ownership import open_beside


class DirectoryLock:
    """An exclusive lock on a directory, made by a lock on the file `lock` in it."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Lock the directory. Idempotent.

        Raises `InUse` if another process has locked it, `NotPrivate` if it is another user's.
        """
        if self._descriptor is not None:
            return
        try:
            descriptor = open_beside(self._directory / "lock", os.O_RDWR)
        except PermissionError:
            raise NotPrivate(self._directory) from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(descriptor, 32).decode().strip()
            os.close(descriptor)
            raise InUse(self._directory, f"process {holder}" if holder else "") from None
        os.truncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
        self._descriptor = descriptor

    def release(self) -> None:
        """Unlock. The file stays: if it were removed, two processes could lock two files."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
