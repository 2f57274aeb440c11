"""Postgres programs that an account can run: where they are, else a copy that everybody can reach.

A clone may lie where only root may enter, and initdb looks for `postgres` with `access(2)`, which
leaves out the powers that the account has of root.
"""

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

PLACES: Final = (
    Path("/var/lib/rollbook/programs"),
    Path(tempfile.gettempdir(), "rollbook-programs"),
)


def runnable_by(account: Account, binaries: Binaries) -> Binaries:
    """The programs themselves or a copy, made once, of the same content.

    Raises `NoPlaceForPrograms`.
    """
    # Only root runs them under another account.
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
    """The folder of the programs in the copy, which is whole when it has its name.

    Raises `OSError`, also where the place is not root's alone: another user could change what runs.
    """
    make_public(copy.parent)
    folder = copy / destination(programs, programs)
    if digest_of(folder) == digest:
        return folder
    draft = Path(tempfile.mkdtemp(prefix=".draft-", dir=copy.parent))
    try:
        for source in files_of(programs):
            target = draft / destination(programs, source)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
            target.chmod(0o755 if source.stat().st_mode & stat.S_IXUSR else 0o644)
        for made in (draft, *(path for path in draft.rglob("*") if path.is_dir())):
            made.chmod(0o755)
        if copy.exists():  # a crash of the machine left it damaged
            copy.rename(draft / ".damaged")
        try:
            draft.rename(copy)
        except OSError:
            # Another process was faster.
            if digest_of(folder) != digest:
                raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)
        shutil.rmtree(copy / ".damaged", ignore_errors=True)
    return folder


def make_public(place: Path) -> None:
    """Make the folder: everybody may enter, root alone may write."""
    for folder in (place.parent, place):
        if not folder.exists():
            folder.mkdir(exist_ok=True)
            folder.chmod(0o755)
        status = folder.lstat()
        others_write = status.st_mode & 0o022
        if folder != place and status.st_mode & stat.S_ISVTX:
            others_write = 0  # in the temporary folder they change nothing that is root's
        if not stat.S_ISDIR(status.st_mode) or status.st_uid != 0 or others_write:
            raise PermissionError(f"{folder} is not root's alone")


def files_of(programs: Path) -> Iterator[Path]:
    """What the server needs beside its two programs: the trees of the same installation."""
    installation = programs.parent
    yield from (path for path in (programs / "initdb", programs / "postgres") if path.is_file())
    for tree in (installation / "lib", installation / "share", libraries_of(installation)):
        yield from sorted(path for path in tree.rglob("*") if path.is_file())


def libraries_of(installation: Path) -> Path:
    """Where a wheel keeps shared libraries of others: beside its package."""
    return Path(f"{installation.parent}.libs")


def destination(programs: Path, source: Path) -> Path:
    """Where a file belongs in a copy: programs find the rest by its place beside them."""
    return source.relative_to(programs.parent.parent.parent)


def digest_of(programs: Path) -> str:
    """16 hex digits that stand for the names and the contents of all these files."""
    found = hashlib.sha256()
    for path in files_of(programs):
        found.update(str(destination(programs, path)).encode() + b"\0")
        with path.open("rb") as file:
            found.update(hashlib.file_digest(file, "sha256").digest())
    return found.hexdigest()[:16]
