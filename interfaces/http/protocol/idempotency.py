"""The Idempotency-Key header: quoted or bare, 1 to 255 visible ASCII characters."""

import hashlib
import re
from typing import Final

from fastapi import Request

from application.context import IdempotencyKey
from interfaces.http.protocol.headers import header, is_visible_ascii
from interfaces.http.protocol.refusals import InvalidRequest

IDEMPOTENCY_KEY: Final = "Idempotency-Key"
IDEMPOTENCY_REPLAYED: Final = "Idempotency-Replayed"

_LIMIT: Final = 255
# A string of RFC 8941: a quote or backslash inside is escaped by a backslash.
_QUOTED: Final = re.compile(r'"((?:[^"\\]|\\["\\])*)"')


def idempotency_key(request: Request, body: bytes) -> IdempotencyKey | None:
    """The key, with a digest of method, path and body; raises `InvalidRequest`."""
    raw = header(request, IDEMPOTENCY_KEY)
    if raw is None:
        return None
    key = _unquoted(raw)
    if not is_visible_ascii(key, _LIMIT):
        detail = f"Must be 1 to {_LIMIT} visible ASCII characters, in quotes or without."
        raise InvalidRequest.at(IDEMPOTENCY_KEY, detail)
    route = f"{request.scope['method']} {request.scope['path']}\n"
    return IdempotencyKey(key, hashlib.sha256(route.encode() + body).digest())


def _unquoted(raw: str) -> str:
    # Quotes and an escape for each character make it about twice as long.
    quoted = _QUOTED.fullmatch(raw) if len(raw) <= 2 * _LIMIT + 2 else None
    return raw if quoted is None else re.sub(r'\\(["\\])', r"\1", quoted[1])
