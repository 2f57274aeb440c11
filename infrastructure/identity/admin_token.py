"""The administrator's token from the settings: valid from the first start."""

import hashlib
import hmac
from typing import Final

from application.identity import PRESETS, Principal

_ADMIN: Final = Principal(actor="token:admin", permissions=PRESETS["admin"], name="admin")


class AdminToken:
    """See `FixedToken`. The token is kept as its SHA-256 digest, so comparisons take constant time."""

    def __init__(self, token: str) -> None:
        self._digest = _digest(token)

    def principal(self, token: str) -> Principal | None:
        return _ADMIN if hmac.compare_digest(_digest(token), self._digest) else None


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
