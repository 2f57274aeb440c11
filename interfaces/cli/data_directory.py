"""The directory of a local Rollbook: its servers' data, its secrets and where it runs."""

import base64
import json
import os
import secrets
from pathlib import Path

from pydantic import BaseModel, ValidationError

from infrastructure.embedded.lock import DirectoryLock
from infrastructure.embedded.orphan import is_alive
from interfaces.cli.errors import CommandFailed


class MasterKeyLost(CommandFailed):
    """There are sealed data, but not the key that opens them."""

    def __init__(self, key: Path, data: Path) -> None:
        self.key = key
        self.data = data
        super().__init__(
            f"{key} is missing, and {data} holds data that only this key opens: "
            "put the file back, or set ROLLBOOK_MASTER_KEY"
        )


class Instance(BaseModel, frozen=True):
    """A running local Rollbook."""

    url: str
    pid: int


class DataDirectory:
    """Reads and writes the files of one data directory; every file is its owner's alone."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.postgres = path / "postgres"
        self.valkey = path / "valkey"
        self._master_key = path / "master-key"
        self.admin_token_file = path / "admin-token"
        self._instance = path / "instance.json"
        self._lock = DirectoryLock(path)

    def hold(self) -> None:
        """Make it, and keep every other process off it. Raises `InUse`."""
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock.acquire()

    def release(self) -> None:
        self._lock.release()

    def master_key(self) -> str:
        """The kept master key, made the first time.

        A key is never made beside data that another one sealed. Raises `MasterKeyLost`.
        """
        key = read(self._master_key)
        if key is not None:
            return key
        data = self.postgres / "data"
        if data.exists():
            raise MasterKeyLost(self._master_key, data)
        key = base64.b64encode(secrets.token_bytes(32)).decode()
        write(self._master_key, key)
        return key

    def admin_token(self) -> str:
        """The kept admin token; a lost one is made anew."""
        token = read(self.admin_token_file)
        if token is None:
            token = secrets.token_urlsafe(32)
            write(self.admin_token_file, token)
        return token

    def announce(self, url: str) -> None:
        """Note where this Rollbook runs, for the commands that talk to it."""
        write(self._instance, json.dumps({"url": url, "pid": os.getpid()}))

    def retract(self) -> None:
        self._instance.unlink(missing_ok=True)

    def instance(self) -> Instance | None:
        """The Rollbook that runs on this directory, None where none does."""
        try:
            found = Instance.model_validate_json(read(self._instance) or "")
        except ValidationError:
            return None
        return found if is_alive(found.pid) else None


def read(path: Path) -> str | None:
    try:
        return path.read_text().strip() or None
    except FileNotFoundError:
        return None


def write(path: Path, text: str) -> None:
    """Replace the file as a whole; it is on disk when this returns."""
    draft = path.with_name(f"{path.name}.new")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(descriptor)
    draft.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    os.fsync(folder)
    os.close(folder)
