"""Seals each person's data with that person's key, and computes MACs of indexed values."""

import base64
import hmac
import os
from collections.abc import Callable
from functools import lru_cache
from typing import Final
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from application.keys.ports import SealBroken, UnknownMasterKey
from application.log.event_log import StreamKey
from domain.token.secret import RANDOM_BYTES, secret_of
from infrastructure.keys.master import KEY_BYTES, NONCE_BYTES, MasterKeys

_CACHED_CIPHERS: Final = 16_384

Random = Callable[[int], bytes]


class PersonCipher:
    """AES-256-GCM under one person's key; `context` is authenticated, not stored.

    Sealed = nonce (12 bytes) ‖ ciphertext ‖ tag.
    """

    def __init__(self, key: bytes, random: Random = os.urandom) -> None:
        self._aead = AESGCM(key)
        self._random = random

    def seal(self, plain: bytes, context: bytes) -> bytes:
        nonce = self._random(NONCE_BYTES)
        return nonce + self._aead.encrypt(nonce, plain, context)

    def open(self, sealed: bytes, context: bytes) -> bytes:
        """Raises `SealBroken`."""
        try:
            return self._aead.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], context)
        except (InvalidTag, ValueError):  # ValueError: too short to contain a nonce
            raise SealBroken(SealBroken.__doc__) from None


# The version and the variant of a UUID (RFC 9562).
_UUID_BITS: Final = 0xF << 76 | 0x3 << 62
_UUID_VERSION_8: Final = 0x8 << 76 | 0x2 << 62


class MasterKeyRing:
    """The key ring of one log: its master keys and its index key.

    It caches only "wrapped key → cipher": a caller must have just read the wrapped key, so a key
    destroyed by one process is gone in all processes at once.
    """

    def __init__(self, masters: MasterKeys, index_key: bytes, random: Random = os.urandom) -> None:
        self._masters = masters
        self._current = masters.newest
        # Set up once, because that takes longer than one MAC.
        self._mac = hmac.new(index_key, digestmod="sha256")
        self._random = random
        self._cipher = lru_cache(_CACHED_CIPHERS)(self._unwrap)

    def new_key(self, subject: UUID) -> StreamKey:
        """A fresh key for one person under the current master key. Raises `UnknownMasterKey`."""
        key, nonce = self._random(KEY_BYTES), self._random(NONCE_BYTES)
        return self._masters.wrap(key, subject, nonce, under=self._current)

    def use(self, master_id: str) -> None:
        """Wrap new keys under this master key from now on. Raises `UnknownMasterKey`."""
        self._current = master_id
        if master_id not in self._masters.ids:
            raise UnknownMasterKey(master_id)

    def cipher(self, subject: UUID, key: StreamKey) -> PersonCipher:
        """The cipher of a wrapped key. Raises `UnknownMasterKey` or `SealBroken`."""
        # The cache key is an int: a UUID is compared and hashed in Python code, which is slower.
        return self._cipher(subject.int, key.master_id, key.wrapped)

    def claim(self, scope: str, value: str) -> bytes:
        """The stored form of a claim: a MAC, with a domain of its own for each scope."""
        return self.mac(f"{scope}\x00{value}".encode())

    def request(self, fingerprint: bytes) -> bytes:
        """The stored form of a request with an idempotency key: its values could be guessed."""
        return self.mac(b"\x00receipt\x00" + fingerprint)

    def import_id(self, import_key: str) -> UUID:
        """The id of the user that an import registers: a MAC of its key, as UUID of version 8."""
        return self._derived_id(b"\x00import\x00" + import_key.encode())

    def access_stream(self, name: str) -> UUID:
        """The stream of an event of kind `access`: a MAC of its name, as UUID of version 8."""
        return self._derived_id(b"\x00access\x00" + name.encode())

    def webhook_secret(self, webhook: UUID, version: int) -> str:
        """See `WebhookSecrets.webhook_secret`."""
        digest = self.mac(b"\x00webhook\x00" + webhook.bytes + version.to_bytes(8))
        return "whsec_" + base64.b64encode(digest).decode()

    def token_credential(self, secret: str) -> str:
        """See `TokenSecrets.token_credential`."""
        return "token:" + self.mac(b"\x00token\x00" + secret.encode()).hex()

    def new_token_secret(self) -> str:
        """See `TokenSecrets.new_token_secret`."""
        return secret_of(self._random(RANDOM_BYTES))

    def mac(self, value: bytes) -> bytes:
        """HMAC-SHA256 of a value under the index key, which never changes."""
        mac = self._mac.copy()
        mac.update(value)
        return mac.digest()

    def _derived_id(self, value: bytes) -> UUID:
        digest = int.from_bytes(self.mac(value)[:16])
        return UUID(int=digest & ~_UUID_BITS | _UUID_VERSION_8)

    def _unwrap(self, subject: int, master_id: str, wrapped: bytes) -> PersonCipher:
        stream_key = StreamKey(master_id=master_id, wrapped=wrapped)
        key = self._masters.unwrap(stream_key, UUID(int=subject))
        return PersonCipher(key, self._random)
