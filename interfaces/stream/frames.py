"""What the server sends over a stream: one JSON object a message, told apart by `kind`."""

from collections.abc import Iterable, Sequence
from typing import Final
from uuid import UUID

import msgspec
from msgspec import Raw, Struct

_encode: Final = msgspec.json.Encoder().encode


class Ready(Struct, frozen=True, tag_field="kind", tag="ready"):
    """The first message: what follows begins after `position`."""

    log: UUID
    position: int
    head: int
    heartbeat_seconds: float


class Events(Struct, frozen=True, tag_field="kind", tag="events"):
    """Envelopes in order, without a gap to what came before."""

    events: Sequence[Raw]


class Heartbeat(Struct, frozen=True, tag_field="kind", tag="heartbeat"):
    """All up to `position` was sent, or is none of what was asked for."""

    position: int
    head: int


Frame = Ready | Events | Heartbeat


def events(envelopes: Iterable[bytes]) -> Events:
    """Of envelopes that are encoded already."""
    return Events([Raw(envelope) for envelope in envelopes])


def text(frame: Frame) -> str:
    return _encode(frame).decode()
