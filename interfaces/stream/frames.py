"""The server's messages on a stream: one JSON object each; `kind` says which."""

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
    """The first message: the stream begins after `position`."""

    log: UUID
    position: int
    head: int
    heartbeat_seconds: float


class Events(Struct, frozen=True, tag_field="kind", tag="events"):
    """Envelopes in order, without a gap after the message before."""

    events: Sequence[Raw]


class Heartbeat(Struct, frozen=True, tag_field="kind", tag="heartbeat"):
    """All requested events up to `position` have been sent."""

    position: int
    head: int


class Notification(Struct, frozen=True, tag_field="kind", tag="notification"):
    """A short message for people; it is not repeated: a client that is away misses it."""

    id: UUID
    severity: Severity
    message: str
    about: str
    time: Timestamp

    @classmethod
    def of(cls, sent: notifications.Notification) -> Self:
        return cls(sent.id, sent.severity, sent.message, sent.about, timestamp(sent.time))


Frame = Ready | Events | Heartbeat | Notification


def events(envelopes: Iterable[bytes]) -> Events:
    """A message of encoded envelopes."""
    return Events([Raw(envelope) for envelope in envelopes])


def text(frame: Frame) -> str:
    return _encode(frame).decode()
