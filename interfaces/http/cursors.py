"""Cursors of lists: where a page ended, sealed together with what was asked for."""

import hashlib
from typing import Final

import msgspec
from msgspec.structs import replace

from application.cursors import CursorBox
from application.keys import SealBroken
from application.queries import ListCursor, UserList
from interfaces.http.refusals import FieldError, InvalidRequest

_DIGEST_BYTES: Final = 16


class _Sealed(msgspec.Struct, frozen=True, array_like=True):
    digest: bytes
    after: ListCursor


_DECODER: Final = msgspec.msgpack.Decoder(_Sealed)


def seal_cursor(box: CursorBox, query: UserList, after: ListCursor | None) -> str | None:
    """The cursor for the page after this one; None after the last."""
    if after is None:
        return None
    return box.seal(msgspec.msgpack.encode(_Sealed(_digest(query), after)))


def open_cursor(box: CursorBox, query: UserList, cursor: str) -> UserList:
    """The query, from where the cursor points.

    Raises `InvalidRequest` for a cursor that was tampered with or belongs to other filters.
    """
    try:
        sealed = _DECODER.decode(box.open(cursor))
    except (SealBroken, msgspec.DecodeError):
        raise _refused("Is not a cursor of this server.") from None
    if sealed.digest != _digest(query):
        raise _refused("Belongs to a list with other filters or another order.")
    return replace(query, after=sealed.after)


def _digest(query: UserList) -> bytes:
    """Of everything but the place and the page size, which may change on the way."""
    asked = replace(query, after=None, limit=0)
    return hashlib.sha256(msgspec.msgpack.encode(asked)).digest()[:_DIGEST_BYTES]


def _refused(detail: str) -> InvalidRequest:
    return InvalidRequest([FieldError("cursor", detail)])
