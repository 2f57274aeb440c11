"""The port to the master keys, and why a key or sealed data does not open."""

from collections.abc import Sequence
from typing import Protocol
from uuid import UUID

from application.log.event_log import StreamKey


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
