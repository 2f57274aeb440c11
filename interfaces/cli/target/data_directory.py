"""The directory of a local Rollbook: its servers' data, its secrets and where it runs."""

import base64
import json
import os
import secrets
from pathlib import Path

from pydantic import BaseModel, ValidationError

from infrastructure.embedded.lock import DirectoryLock
from infrastructure.embedded.orphan import is_alive
from infrastructure.embedded.ownership import folder_lock, make_folder, replace_file
from interfaces.cli.errors import CommandFailed
from interfaces.setting_values import MASTER_KEY_BYTES, master_key_list


class MasterKeyLost(CommandFailed):
    """There is sealed data, but not the key that opens it."""

    def __init__(self, key: Path, data: Path) -> None:
        self.key = key
        self.data = data
        super().__init__(
            f"{key} is missing, and {data} holds data that only this key opens: "
            "put the file back, or set ROLLBOOK_MASTER_KEY"
        )


class MasterKeyUnreadable(CommandFailed):
    """The file of master keys cannot be read, or holds something else."""

    def __init__(self, key: Path, reason: str) -> None:
        self.key = key
        super().__init__(f"{key}: {reason}")


class CannotBeMade(CommandFailed):
    """The data directory does not exist and cannot be made."""

    def __init__(self, directory: Path, reason: str) -> None:
        self.directory = directory
        super().__init__(f"{directory} cannot be made ({reason}): name another --data-dir")


class Instance(BaseModel, frozen=True):
    """A running local Rollbook."""

    url: str
    pid: int


class DataDirectory:
    """Reads and writes the files of one data directory; only the owner can access them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.postgres = path / "postgres"
        self.valkey = path / "valkey"
        self.master_key_file = path / "master-key"
        self.admin_token_file = path / "admin-token"
        self.high_water_file = path / "high-water.json"
        self._instance = path / "instance.json"
        self._lock = DirectoryLock(path)

    def hold(self) -> None:
        """Create it, and lock it against all other processes.

        Raises `InUse`, `NotPrivate` or `CannotBeMade`.
        """
        try:
            make_folder(self.path.absolute())
        except OSError as error:
            raise CannotBeMade(self.path, error.strerror or "unknown") from None
        self._lock.acquire()

    def release(self) -> None:
        self._lock.release()

    def master_key(self) -> str:
        """The stored master key, created the first time.

        A key is never created beside data that another one sealed. Raises `MasterKeyLost` or
        `MasterKeyUnreadable`.
        """
        stored = self.stored_master_key()
        if stored is not None:
            return stored
        data = self.postgres / "data"
        if data.exists():
            raise MasterKeyLost(self.master_key_file, data)
        key = new_master_key()
        replace_file(self.master_key_file, key)
        return key

    def stored_master_key(self) -> str | None:
        """The list in the file, None if there is none. Raises `MasterKeyUnreadable`."""
        try:
            stored = read(self.master_key_file)
            return None if stored is None else master_key_list(stored)
        except OSError as error:
            raise MasterKeyUnreadable(self.master_key_file, error.strerror or "unknown") from None
        except ValueError as error:
            reason = "is not text" if isinstance(error, UnicodeError) else str(error)
            raise MasterKeyUnreadable(self.master_key_file, reason) from None

    def add_master_key(self) -> str | None:
        """Put a new key before the stored ones: the new list, or None if none is stored.

        The file holds the old keys at every moment. Raises `MasterKeyUnreadable`.
        """
        if self.stored_master_key() is None:
            return None
        with folder_lock(self.path):
            keys = f"{new_master_key()},{self.stored_master_key()}"
            replace_file(self.master_key_file, keys)
            return keys

    def admin_token(self) -> str:
        """The stored admin token; a missing one is created."""
        token = read(self.admin_token_file)
        if token is None:
            token = secrets.token_urlsafe(32)
            replace_file(self.admin_token_file, token)
        return token

    def announce(self, url: str) -> None:
        """Write the address of this Rollbook, for the commands that call it."""
        replace_file(self._instance, json.dumps({"url": url, "pid": os.getpid()}))

    def retract(self) -> None:
        self._instance.unlink(missing_ok=True)

    def instance(self) -> Instance | None:
        """The Rollbook that runs on this directory, None if none does."""
        try:
            found = Instance.model_validate_json(read(self._instance) or "")
        except ValidationError:
            return None
        return found if is_alive(found.pid) else None


def new_master_key() -> str:
    return base64.b64encode(secrets.token_bytes(MASTER_KEY_BYTES)).decode()


def read(path: Path) -> str | None:
    try:
        return path.read_text().strip() or None
    except FileNotFoundError:
        return None
