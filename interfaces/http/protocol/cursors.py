"""Cursors of lists: the place where a page ended, sealed with a digest of the list."""

import hashlib
from typing import Any, Final, TypeVar

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from application.cursors import TokenSealer
from application.keys.ports import SealBroken
from application.queries.directory import ListCursor, UserList
from interfaces.http.protocol.refusals import FieldError, InvalidRequest


def seal_cursor(sealer: TokenSealer, query: UserList, after: ListCursor | None) -> str | None:
    """The cursor for the page after this one; None after the last."""
    return seal_place(sealer, _listed(query), after)


def open_cursor(sealer: TokenSealer, query: UserList, cursor: str) -> UserList:
    """The query, from the place of the cursor on.

    Raises `InvalidRequest` for a cursor that was tampered with or belongs to other filters.
    """
    return replace(query, after=open_place(sealer, _listed(query), cursor, ListCursor))


def _listed(query: UserList) -> Any:
    """What identifies the list: not the place and the page size, which may change."""
    return "users", replace(query, after=None, limit=0)


T = TypeVar("T")

_DIGEST_BYTES: Final = 16


class _Sealed(Struct, frozen=True, array_like=True):
    digest: bytes
    place: msgspec.Raw


_DECODER: Final = msgspec.msgpack.Decoder(_Sealed)


def seal_place(sealer: TokenSealer, listed: Any, place: object | None) -> str | None:
    """The cursor of the page that begins at a place; None if there is no such page.

    `listed` identifies the list: its name and its filters, not the page size.
    """
    if place is None:
        return None
    raw = msgspec.Raw(msgspec.msgpack.encode(place))
    return sealer.seal(msgspec.msgpack.encode(_Sealed(_digest(listed), raw)))


def open_place(sealer: TokenSealer, listed: Any, cursor: str, of: type[T]) -> T:
    """The place in the list that the cursor points to.

    Raises `InvalidRequest` for a cursor that was tampered with or belongs to another list.
    """
    try:
        sealed = _DECODER.decode(sealer.open(cursor))
        if sealed.digest != _digest(listed):
            raise _refused("Belongs to a list with other filters or another order.")
        return msgspec.msgpack.decode(sealed.place, type=of)
    except (SealBroken, msgspec.DecodeError):
        raise _refused("Is not a cursor of this server.") from None


def _digest(listed: Any) -> bytes:
    return hashlib.sha256(msgspec.msgpack.encode(listed)).digest()[:_DIGEST_BYTES]


def _refused(detail: str) -> InvalidRequest:
    return InvalidRequest([FieldError("cursor", detail)])
