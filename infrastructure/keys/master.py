"""The master keys: a list, newest first, each known by the first 8 hex digits of its SHA-256."""

import base64
import binascii
import hashlib
import os
from typing import Self
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from application.event_log import StreamKey
from application.keys import SealBroken, UnknownMasterKey

KEY_BYTES = 32
NONCE_BYTES = 12


class InvalidMasterKey(ValueError):
    """ROLLBOOK_MASTER_KEY must be a comma list of 32-byte keys in base64, newest first."""

    def __str__(self) -> str:
        return str(self.__doc__)


class MasterKeys:
    """Wraps data keys under the newest key and unwraps them under any of the list."""

    def __init__(self, keys: tuple[bytes, ...]) -> None:
        if not keys or any(len(key) != KEY_BYTES for key in keys):
            raise InvalidMasterKey
        self._by_id = {_key_id(key): AESGCM(key) for key in keys}
        self.newest = _key_id(keys[0])

    @classmethod
    def parse(cls, text: str) -> Self:
        """From `ROLLBOOK_MASTER_KEY`. Raises `InvalidMasterKey`."""
        try:
            keys = tuple(base64.b64decode(part.strip(), validate=True) for part in text.split(","))
        except (binascii.Error, ValueError) as error:
            raise InvalidMasterKey from error
        return cls(keys)

    def wrap(self, key: bytes, subject: UUID, nonce: bytes | None = None) -> StreamKey:
        """`key` sealed under the newest master key, bound to its subject."""
        nonce = nonce or os.urandom(NONCE_BYTES)
        sealed = self._by_id[self.newest].encrypt(nonce, key, subject.bytes)
        return StreamKey(master_id=self.newest, wrapped=nonce + sealed)

    def unwrap(self, wrapped: StreamKey, subject: UUID) -> bytes:
        """Raises `UnknownMasterKey` or `SealBroken`."""
        try:
            master = self._by_id[wrapped.master_id]
        except KeyError:
            raise UnknownMasterKey(wrapped.master_id) from None
        nonce, sealed = wrapped.wrapped[:NONCE_BYTES], wrapped.wrapped[NONCE_BYTES:]
        try:
            return master.decrypt(nonce, sealed, subject.bytes)
        except InvalidTag:
            raise SealBroken(SealBroken.__doc__) from None


def _key_id(key: bytes) -> str:
    return hashlib.sha256(key).hexdigest()[:8]
