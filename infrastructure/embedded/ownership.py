"""Files that root makes in a user's folder belong to that user, so root is not needed later."""

import fcntl
import os
import stat
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path


def owner_of(folder: Path) -> tuple[int, int]:
    """The user id and the group id that own a folder."""
    status = folder.stat()
    return status.st_uid, status.st_gid


def make_folder(folder: Path) -> None:
    """Make the folder and its parents, open only to their owner: the owner of the parent folder."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    folder.mkdir(mode=0o700, exist_ok=True)
    if os.geteuid() == 0:
        os.chown(folder, *owner_of(folder.parent), follow_symlinks=False)


def open_beside(path: Path, flags: int) -> int:
    """Open a file that only its folder's owner may read; create it if it is missing.

    Returns the descriptor. A symbolic link is refused: root must not follow a user's link.
    """
    flags |= os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    descriptor = os.open(path, flags, 0o600)
    if os.geteuid() == 0:
        status = os.fstat(descriptor)
        # A hard link to the file may lie in another owner's folder.
        if stat.S_ISREG(status.st_mode) and status.st_nlink == 1:
            os.fchown(descriptor, *owner_of(path.parent))
    return descriptor


def replace_file(path: Path, text: str) -> None:
    """Write a line and replace the file as a whole; it is on disk when this returns."""
    new_file = path.with_name(f"{path.name}.new")
    new_file.unlink(missing_ok=True)
    descriptor = open_beside(new_file, os.O_WRONLY | os.O_EXCL)
    with os.fdopen(descriptor, "w") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(descriptor)
    new_file.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    os.fsync(folder)
    os.close(folder)


@contextmanager
def folder_lock(folder: Path) -> Generator[None]:
    """Lock the folder: one process at a time."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def change_owner(folder: Path, user: int, group: int) -> None:
    """Make an account the owner of the folder and everything in it, unless it is already."""
    if owner_of(folder) == (user, group):
        return
    # By descriptors: the folder's owner could replace a part of a path by a link.
    for _, _, files, descriptor in os.fwalk(folder, follow_symlinks=False):
        for name in files:
            os.chown(name, user, group, dir_fd=descriptor, follow_symlinks=False)
        os.fchown(descriptor, user, group)
