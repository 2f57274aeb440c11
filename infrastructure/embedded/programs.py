"""Postgres programs that an account can run: in place, else as a copy that all accounts can reach.

The programs may lie in a folder that only root may enter. initdb looks for `postgres` with
`access(2)`, which ignores the account's extra capabilities.
"""

import fcntl
import hashlib
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from infrastructure.embedded.account import Account
from infrastructure.embedded.binaries import Binaries
from infrastructure.embedded.errors import NoPlaceForPrograms
from infrastructure.embedded.ownership import open_beside

PLACES: Final = (
    Path("/var/lib/rollbook/programs"),
    Path(tempfile.gettempdir(), "rollbook-programs"),
)


def runnable_by(account: Account, binaries: Binaries) -> Binaries:
    """The programs themselves, or a copy with the same content, which is made once.

    Raises `NoPlaceForPrograms`.
    """
    # Only root runs the programs under another account.
    if os.geteuid() != 0 or account.can_run(binaries.initdb):
        return binaries
    digest = digest_of(binaries.folder)
    for place in PLACES:
        try:
            folder = copied(binaries.folder, place / f"postgres-{binaries.major}-{digest}", digest)
        except OSError:
            continue
        copy = Binaries(folder, binaries.major)
        if account.can_run(copy.initdb):
            return copy
    raise NoPlaceForPrograms(binaries.folder, " or ".join(map(str, PLACES)))


def copied(programs: Path, copy: Path, digest: str) -> Path:
    """The folder of the programs in the copy; a copy gets its name only when it is complete.

    Raises `OSError`, also if other users can write to the place: they could change the programs.
    """
    make_public(copy.parent)
    folder = copy / destination(programs, programs)
    # One process at a time: what it finds unfinished or damaged, no other process works on.
    lock = open_beside(copy.parent / "lock", os.O_RDWR)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if digest_of(folder) != digest:
            draft = copy.with_name(f"{copy.name}.new")
            shutil.rmtree(draft, ignore_errors=True)
            fill(draft, programs)
            shutil.rmtree(copy, ignore_errors=True)
            draft.rename(copy)
    finally:
        os.close(lock)
    return folder


def fill(draft: Path, programs: Path) -> None:
    """Copy the files into a folder that every account may read."""
    for source in files_of(programs):
        target = draft / destination(programs, source)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
        target.chmod(0o755 if source.stat().st_mode & stat.S_IXUSR else 0o644)
    for made in (draft, *(path for path in draft.rglob("*") if path.is_dir())):
        made.chmod(0o755)


def make_public(place: Path) -> None:
    """Make a folder that everyone may enter and only root may write to."""
    for folder in (place.parent, place):
        if not folder.exists():
            folder.mkdir(exist_ok=True)
            folder.chmod(0o755)
        status = folder.lstat()
        others_write = status.st_mode & 0o022
        if folder != place and status.st_mode & stat.S_ISVTX:
            others_write = 0  # in the temporary folder (sticky) they cannot change root's files
        if not stat.S_ISDIR(status.st_mode) or status.st_uid != 0 or others_write:
            raise PermissionError(f"users other than root can change {folder}")


def files_of(programs: Path) -> Iterator[Path]:
    """All files that the server needs: its two programs and the trees of the installation."""
    installation = programs.parent
    yield from (path for path in (programs / "initdb", programs / "postgres") if path.is_file())
    for tree in (installation / "lib", installation / "share", libraries_of(installation)):
        yield from sorted(path for path in tree.rglob("*") if path.is_file())


def libraries_of(installation: Path) -> Path:
    """The folder beside the package in which a wheel keeps third-party shared libraries."""
    return Path(f"{installation.parent}.libs")


def destination(programs: Path, source: Path) -> Path:
    """The path of a file in a copy: programs find other files by relative paths."""
    return source.relative_to(programs.parent.parent.parent)


def digest_of(programs: Path) -> str:
    """16 hex digits: a hash of the names and contents of all these files."""
    found = hashlib.sha256()
    for path in files_of(programs):
        found.update(str(destination(programs, path)).encode() + b"\0")
        with path.open("rb") as file:
            found.update(hashlib.file_digest(file, "sha256").digest())
    return found.hexdigest()[:16]
