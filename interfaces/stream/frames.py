"""What the server sends over a stream: one JSON object a message, told apart by `kind`."""

from collections.abc import Iterable, Sequence
from typing import Final, Self
from uuid import UUID

import msgspec
from msgspec import Raw, Struct

from application.live import notifications
from application.live.notifications import Severity
from application.timestamps import Timestamp, timestamp

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


class Notification(Struct, frozen=True, tag_field="kind", tag="notification"):
    """A few words for people; none are told again, and whoever was away misses them."""

    id: UUID
    severity: Severity
    message: str
    about: str
    time: Timestamp

    @classmethod
    def of(cls, told: notifications.Notification) -> Self:
        return cls(told.id, told.severity, told.message, told.about, timestamp(told.time))


Frame = Ready | Events | Heartbeat | Notification


def events(envelopes: Iterable[bytes]) -> Events:
    """Of envelopes that are encoded already."""
    return Events([Raw(envelope) for envelope in envelopes])


def text(frame: Frame) -> str:
    return _encode(frame).decode()
