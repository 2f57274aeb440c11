"""Events with sealed personal fields, as sealed feeds return them and messages carry them."""

import base64
from typing import Any, ClassVar
from uuid import UUID

from application.log.envelope import Envelope, Personal, enveloped, shown
from domain.event import Event, Recorded


class Sealed(Event, frozen=True):
    """A stored event in a sealed feed.

    `type` is its stored name; `fields` has the fields that are not personal, in schema version
    `schema`; `value` is the ciphertext of the personal ones. After an
    erasure `value` is None, and `erased` names the personal fields that this release knows.
    """

    topic: ClassVar[str] = "sealed"

    type: str
    schema: int
    fields: dict[str, Any]
    access: Personal = "open"
    value: bytes | None = None
    erased: frozenset[str] = frozenset()


def sealed_envelope(recorded: Recorded[Event], event: Sealed, log_id: UUID) -> Envelope:
    """The envelope of an event for services that may not read its personal fields.

    These are one member `sealed`: the person whose key opens it, and the ciphertext in base64url
    (RFC 4648 §5).
    """
    data = shown(event.fields, hidden=event.erased)
    if event.value is not None:
        value = base64.urlsafe_b64encode(event.value).decode()
        data["sealed"] = {"key": recorded.stream, "value": value}
    return enveloped(
        recorded,
        log_id,
        topic=event.type,
        schema=event.schema,
        data=data,
        personal=event.access,
    )
