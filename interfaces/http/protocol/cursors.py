"""Cursors of lists: the place where a page ended, sealed with a digest of the list."""

import hashlib
from typing import Annotated, Final, Generic, TypeVar

import msgspec
from msgspec import Struct
from pydantic import Field

from application.cursors import TokenSealer
from application.keys.ports import SealBroken
from interfaces.http.protocol.fields import whole_number
from interfaces.http.protocol.refusals import InvalidRequest
from interfaces.http.protocol.validation import RequestModel

T = TypeVar("T")

_MAX_ITEMS: Final = 200

_DIGEST_BYTES: Final = 16


class _Sealed(Struct, frozen=True, array_like=True):
    digest: bytes
    place: msgspec.Raw


_DECODER: Final = msgspec.msgpack.Decoder(_Sealed)


class PageParameters(RequestModel):
    limit: Annotated[int, whole_number(1, _MAX_ITEMS)] = 50
    cursor: str | None = Field(default=None, max_length=4096)


class Pages(Generic[T]):
    """The pages of one list.

    `listed` identifies the list: its name and its filters, not the page size. `place` is the type
    of the place where a page ends.
    """

    def __init__(self, sealer: TokenSealer, listed: object, place: type[T]) -> None:
        self._sealer = sealer
        self._digest = hashlib.sha256(msgspec.msgpack.encode(listed)).digest()[:_DIGEST_BYTES]
        self._place = place

    def cursor(self, end: T | None) -> str | None:
        """The cursor of the page after this one; None after the last."""
        if end is None:
            return None
        place = msgspec.Raw(msgspec.msgpack.encode(end))
        return self._sealer.seal(msgspec.msgpack.encode(_Sealed(self._digest, place)))

    def place(self, cursor: str | None) -> T | None:
        """Where the page begins; None for the first.

        Raises `InvalidRequest` for a cursor that was tampered with or belongs to another list.
        """
        if cursor is None:
            return None
        try:
            sealed = _DECODER.decode(self._sealer.open(cursor))
            if sealed.digest != self._digest:
                raise InvalidRequest.at(
                    "cursor", "Belongs to a list with other filters or another order."
                )
            return msgspec.msgpack.decode(sealed.place, type=self._place)
        except (SealBroken, msgspec.DecodeError):
            raise InvalidRequest.at("cursor", "Is not a cursor of this server.") from None
