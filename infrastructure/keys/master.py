"""The master keys: a list, newest first; a key's id is the first 8 hex digits of its SHA-256."""

import base64
import binascii
import hashlib
import os
from typing import Self
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from application.keys.ports import SealBroken, UnknownMasterKey
from application.log.event_log import StreamKey

KEY_BYTES = 32
NONCE_BYTES = 12


class InvalidMasterKey(ValueError):
    """ROLLBOOK_MASTER_KEY must be a comma list of different 32-byte keys in base64, newest first."""

    def __str__(self) -> str:
        return str(self.__doc__)


class MasterKeys:
    """Wraps data keys with one master key of the list and unwraps them with any key of the list."""

    def __init__(self, keys: tuple[bytes, ...]) -> None:
        if not keys or any(len(key) != KEY_BYTES for key in keys):
            raise InvalidMasterKey
        self._by_id = {_key_id(key): AESGCM(key) for key in keys}
        if len(self._by_id) != len(keys):
            raise InvalidMasterKey
        self.ids = tuple(self._by_id)
        self.newest = self.ids[0]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parses `ROLLBOOK_MASTER_KEY`. Raises `InvalidMasterKey`."""
        try:
            keys = tuple(base64.b64decode(part.strip(), validate=True) for part in text.split(","))
        except (binascii.Error, ValueError) as error:
            raise InvalidMasterKey from error
        return cls(keys)

    def wrap(
        self, key: bytes, subject: UUID, nonce: bytes | None = None, *, under: str | None = None
    ) -> StreamKey:
        """`key` sealed with a master key (None: the newest), bound to its subject.

        Raises `UnknownMasterKey`.
        """
        master_id, nonce = under or self.newest, nonce or os.urandom(NONCE_BYTES)
        sealed = self._master(master_id).encrypt(nonce, key, subject.bytes)
        return StreamKey(master_id=master_id, wrapped=nonce + sealed)

    def unwrap(self, wrapped: StreamKey, subject: UUID) -> bytes:
        """Raises `UnknownMasterKey` or `SealBroken`."""
        master = self._master(wrapped.master_id)
        nonce, sealed = wrapped.wrapped[:NONCE_BYTES], wrapped.wrapped[NONCE_BYTES:]
        try:
            return master.decrypt(nonce, sealed, subject.bytes)
        except (InvalidTag, ValueError):  # ValueError: too short to contain a nonce
            raise SealBroken(SealBroken.__doc__) from None

    def rewrap(self, key: StreamKey, subject: UUID, to: str) -> StreamKey:
        return self.wrap(self.unwrap(key, subject), subject, under=to)

    def _master(self, master_id: str) -> AESGCM:
        try:
            return self._by_id[master_id]
        except KeyError:
            raise UnknownMasterKey(master_id) from None


def _key_id(key: bytes) -> str:
    return hashlib.sha256(key).hexdigest()[:8]
