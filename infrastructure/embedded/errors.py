"""Why an embedded server does not start; each message is one line for people."""

from pathlib import Path


class EmbeddedServerError(Exception):
    """The embedded server cannot run."""


class NoServerFound(EmbeddedServerError):
    """The server programs are not on this machine."""

    def __init__(self, server: str, searched: str, setting: str) -> None:
        self.searched = searched
        super().__init__(f"no {server} found ({searched}): install one, or set {setting}")


class VersionMismatch(EmbeddedServerError):
    """The data was written by another major version than that of the programs found."""

    def __init__(self, data: Path, written_by: int, found: str) -> None:
        self.data = data
        self.written_by = written_by
        super().__init__(
            f"{data} was written by Postgres {written_by}, but this is {found}: "
            f"set ROLLBOOK_POSTGRES_BIN to the programs of version {written_by}"
        )


class InUse(EmbeddedServerError):
    """Another process has locked this directory."""

    def __init__(self, directory: Path, holder: str) -> None:
        self.directory = directory
        self.holder = holder
        super().__init__(f"{directory} is in use by {holder or 'another process'}")


class NoAccount(EmbeddedServerError):
    """Postgres refuses to run as root, and no other account can be used here."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        super().__init__(
            "Postgres does not run as root, and neither a user namespace nor the account "
            f"'postgres' or 'nobody' can use {directory}: start Rollbook as an ordinary user"
        )


class NoPlaceForPrograms(EmbeddedServerError):
    """Another account must run the programs, but it can reach neither the programs nor a copy."""

    def __init__(self, programs: Path, places: str) -> None:
        self.programs = programs
        super().__init__(
            f"only root can run the programs in {programs} or a copy in {places}: "
            "start Rollbook as an ordinary user, or set ROLLBOOK_DATABASE_URL"
        )


class NotPrivate(EmbeddedServerError):
    """A directory that must be private belongs to another user."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        super().__init__(
            f"{directory} belongs to another user of this machine: start Rollbook as that user "
            "or as root, or name another --data-dir"
        )


class StartFailed(EmbeddedServerError):
    """The server ended while it started, or it did not become ready in time."""

    def __init__(self, server: str, log: Path, reason: str) -> None:
        self.log = log
        self.reason = reason
        super().__init__(f"{server} did not start: {reason or 'no message'} (see {log})")
