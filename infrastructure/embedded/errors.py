"""Why a server that Rollbook brings along does not start; each message is one line for people."""

from pathlib import Path


class EmbeddedServerError(Exception):
    """The embedded server cannot run."""


class NoServerFound(EmbeddedServerError):
    """The programs of a server are not on this machine."""

    def __init__(self, server: str, looked_in: str, setting: str) -> None:
        self.looked_in = looked_in
        super().__init__(f"no {server} found ({looked_in}): install one, or set {setting}")


class OtherVersion(EmbeddedServerError):
    """The data were written by another major version than the programs found."""

    def __init__(self, data: Path, written_by: int, found: str) -> None:
        self.data = data
        self.written_by = written_by
        super().__init__(
            f"{data} was written by Postgres {written_by}, but this is {found}: "
            f"set ROLLBOOK_POSTGRES_BIN to the programs of version {written_by}"
        )


class InUse(EmbeddedServerError):
    """Another process holds this directory."""

    def __init__(self, directory: Path, holder: str) -> None:
        self.directory = directory
        self.holder = holder
        super().__init__(f"{directory} is in use by {holder or 'another process'}")


class NoAccount(EmbeddedServerError):
    """Postgres refuses to run as root, and no other identity can be had here."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        super().__init__(
            "Postgres does not run as root, and neither a user namespace nor the account "
            f"'postgres' or 'nobody' can use {directory}: start Rollbook as an ordinary user"
        )


class NoPlaceForPrograms(EmbeddedServerError):
    """Another account must run the programs, but it can reach neither them nor a copy."""

    def __init__(self, programs: Path, places: str) -> None:
        self.programs = programs
        super().__init__(
            f"no account beside root can run the programs in {programs}, nor a copy in {places}: "
            "start Rollbook as an ordinary user, or set ROLLBOOK_DATABASE_URL"
        )


class NotPrivate(EmbeddedServerError):
    """A directory that must be ours alone belongs to someone else."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        super().__init__(
            f"{directory} belongs to another user of this machine: start Rollbook as that user "
            "or as root, or name another --data-dir"
        )


class StartFailed(EmbeddedServerError):
    """The server ended, or did not become ready, while it started."""

    def __init__(self, server: str, log: Path, last_words: str) -> None:
        self.log = log
        self.last_words = last_words
        super().__init__(f"{server} did not start: {last_words or 'no message'} (see {log})")
