"""Opaque tokens for clients: encrypted, authenticated, and safe in a URL."""

import base64
import binascii
import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from application.keys.ports import SealBroken

_NONCE_BYTES = 12


class AesTokenSealer:
    """Seals short texts, such as cursors, that may hold a name.

    `key` (32 bytes) should be derived for this purpose only, for example by `MasterKeyRing.mac`.
    """

    def __init__(self, key: bytes, purpose: str) -> None:
        self._aead = AESGCM(key)
        self._purpose = purpose.encode()

    def seal(self, plain: bytes) -> str:
        nonce = os.urandom(_NONCE_BYTES)
        sealed = nonce + self._aead.encrypt(nonce, plain, self._purpose)
        return _text(sealed)

    def open(self, token: str) -> bytes:
        """Raises `SealBroken` for anything that `seal` of this sealer did not make."""
        try:
            sealed = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
            # The decoder skips foreign characters and ignores the last bits.
            if _text(sealed) != token:
                raise SealBroken(SealBroken.__doc__)
            return self._aead.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], self._purpose)
        except (binascii.Error, ValueError, InvalidTag):
            raise SealBroken(SealBroken.__doc__) from None


def _text(sealed: bytes) -> str:
    return base64.urlsafe_b64encode(sealed).rstrip(b"=").decode()
