"""An event whose personal fields nobody opened: as a sealed feed gives it, and as messages carry it."""

from typing import Any, ClassVar
from uuid import UUID

from application.log.envelope import Envelope, Personal, enveloped, shown
from domain.event import Event, Recorded


class Sealed(Event, frozen=True):
    """Stands in a sealed feed for an event as it lies in the store.

    `type` is its stored name, `fields` has what is not personal, in schema version `schema`, and
    `value` the rest as one ciphertext in base64 (RFC 4648 §4). Of a person who was erased there is
    no value; `erased` then names the fields that went, as far as this release knows them.
    """

    topic: ClassVar[str] = "sealed"

    type: str
    schema: int
    fields: dict[str, Any]
    access: Personal = "open"
    value: str | None = None
    erased: frozenset[str] = frozenset()


def sealed_envelope(recorded: Recorded[Event], event: Sealed, log_id: UUID) -> Envelope:
    """The envelope of an event for those who may pass it on, but not read who it is about.

    Its personal fields are one member `sealed`: the person whose key opens it, and the ciphertext
    in base64url (RFC 4648 §5).
    """
    data = shown(event.fields, hidden=event.erased)
    if event.value is not None:
        value = event.value.replace("+", "-").replace("/", "_")
        data["sealed"] = {"key": recorded.stream, "value": value}
    return enveloped(
        recorded,
        log_id,
        topic=event.type,
        schema=event.schema,
        data=data,
        personal=event.access,
    )
