"""The form of a secret: `rbk_`, 43 characters for 256 random bits, and 6 of checksum.

Scanners of repositories find secrets of this form, and a secret with a typing error is refused without
a look-up.
"""

import re
import zlib
from typing import Final

RANDOM_BYTES: Final = 32
PREFIX: Final = "rbk_"
_BODY_LENGTH: Final = 43
_CHECKSUM_LENGTH: Final = 6
_BASE62: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_FORM: Final = re.compile(f"{PREFIX}[0-9A-Za-z]{{{_BODY_LENGTH + _CHECKSUM_LENGTH}}}")


def secret_of(random: bytes) -> str:
    """The secret that these 32 random bytes make."""
    if len(random) != RANDOM_BYTES:
        raise ValueError(f"a secret is made of {RANDOM_BYTES} bytes")
    begin = PREFIX + _base62(int.from_bytes(random), _BODY_LENGTH)
    return begin + _checksum(begin)


def is_well_formed(text: str) -> bool:
    """Whether a text has the form and the checksum of a secret."""
    if _FORM.fullmatch(text) is None:
        return False
    return text[-_CHECKSUM_LENGTH:] == _checksum(text[:-_CHECKSUM_LENGTH])


def _checksum(begin: str) -> str:
    return _base62(zlib.crc32(begin.encode()), _CHECKSUM_LENGTH)


def _base62(number: int, length: int) -> str:
    digits: list[str] = []
    for _ in range(length):
        number, digit = divmod(number, len(_BASE62))
        digits.append(_BASE62[digit])
    return "".join(reversed(digits))
