"""The port to the keys: those that seal personal data, and the index key."""

from collections.abc import Sequence
from typing import Protocol
from uuid import UUID

from application.log.event_log import StreamKey


class Cipher(Protocol):
    """Seals and opens with one person's key; `context` is authenticated, not stored."""

    def seal(self, plain: bytes, context: bytes) -> bytes: ...

    def open(self, sealed: bytes, context: bytes) -> bytes: ...


class KeyRing(Protocol):
    """Everything derived from the master keys; no I/O in any of it."""

    def new_key(self, subject: UUID) -> StreamKey:
        """A fresh key for one person under the current master key. Raises `UnknownMasterKey`."""
        ...

    def use(self, master_id: str) -> None:
        """Wrap new keys under this master key from now on. Raises `UnknownMasterKey`."""
        ...

    def cipher(self, subject: UUID, key: StreamKey) -> Cipher:
        """The cipher of a wrapped key. Raises `UnknownMasterKey`."""
        ...

    def mac(self, value: bytes) -> bytes:
        """HMAC-SHA256 of a value under the index key, which never changes."""
        ...


class MasterKeyList(Protocol):
    """The master keys of this process by id, the newest first; no I/O in any of it."""

    @property
    def ids(self) -> Sequence[str]: ...

    def rewrap(self, key: StreamKey, subject: UUID, to: str) -> StreamKey:
        """The same data key under the master key `to`. Raises `UnknownMasterKey` or `SealBroken`."""
        ...


class UnknownMasterKey(Exception):
    """A key is wrapped by a master key that ROLLBOOK_MASTER_KEY does not list."""

    def __init__(self, master_id: str) -> None:
        self.master_id = master_id
        super().__init__(f"{self.__doc__} (id {master_id})")


class SealBroken(Exception):
    """Sealed data does not open with its key: wrong key, wrong place, or tampered with."""
