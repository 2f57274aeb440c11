"""The envelope of an event: CloudEvents 1.0, with Rollbook's own attributes."""

from collections.abc import Container, Mapping
from datetime import datetime
from typing import Any, Final, Literal
from uuid import UUID

from msgspec import UNSET, Struct, UnsetType

from application.log.event_log import Unreadable
from application.timestamps import Timestamp, timestamp
from domain.event import Event, Recorded

Personal = Literal["open", "sealed", "erased"]

# Fields that the contract marks optional are left out if not given; all others are null then.
_OPTIONAL: Final = frozenset({"reason"})


class Envelope(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`position` is a decimal string, because integers of CloudEvents have 32 bits.

    `personal` says why personal fields of `data` are null: `sealed` (the reader may not see them)
    or `erased`.
    """

    specversion: Literal["1.0"]
    id: UUID
    source: str
    type: str
    subject: UUID
    time: Timestamp
    datacontenttype: Literal["application/json"]
    dataschema: str
    data: dict[str, Any]
    position: str
    version: int
    actor: str
    onbehalfof: str | UnsetType = UNSET
    correlationid: str
    causationid: UUID | UnsetType = UNSET
    personal: Personal


def envelope(recorded: Recorded[Event], log_id: UUID, *, opened: bool) -> Envelope:
    """The envelope of an event; its personal fields are null unless `opened`.

    An event that cannot be read is as for a reader that may not see personal fields.
    """
    event, personal = recorded.event, personal_of(recorded, opened=opened)
    if isinstance(event, Unreadable):
        topic, schema, fields, hidden = event.type, event.schema, event.fields, frozenset[str]()
    else:
        topic, schema = event.topic, event.schema_version
        fields = {name: getattr(event, name) for name in event.__struct_fields__}
        hidden = frozenset[str]() if personal == "open" else event.personal
    return enveloped(
        recorded,
        log_id,
        topic=topic,
        schema=schema,
        data=shown(fields, hidden=hidden),
        personal=personal,
    )


def enveloped(
    recorded: Recorded[Event],
    log_id: UUID,
    *,
    topic: str,
    schema: int,
    data: dict[str, Any],
    personal: Personal,
) -> Envelope:
    """The envelope around `data`."""
    return Envelope(
        specversion="1.0",
        id=recorded.event_id,
        source=f"urn:uuid:{log_id}",
        type=topic,
        subject=recorded.stream,
        time=timestamp(recorded.recorded_at),
        datacontenttype="application/json",
        dataschema=f"urn:rollbook:{topic}:{schema}",
        data=data,
        position=str(recorded.position),
        version=recorded.version,
        actor=recorded.actor,
        onbehalfof=UNSET if recorded.on_behalf_of is None else recorded.on_behalf_of,
        correlationid=recorded.correlation_id,
        causationid=UNSET if recorded.causation_id is None else recorded.causation_id,
        personal=personal,
    )


def shown(fields: Mapping[str, Any], hidden: Container[str]) -> dict[str, Any]:
    """The fields, with null for hidden ones; also if not given, since that would be information."""
    data: dict[str, Any] = {}
    for name, value in fields.items():
        if name in hidden:
            data[name] = None
        elif isinstance(value, datetime):
            data[name] = timestamp(value)
        elif value is not None or name not in _OPTIONAL:
            data[name] = value
    return data


def personal_of(recorded: Recorded[Event], *, opened: bool) -> Personal:
    """Whether the personal fields of an event are shown, or why not."""
    if isinstance(recorded.event, Unreadable):
        return "sealed"
    if recorded.is_erased:
        return "erased"
    return "open" if opened or not recorded.event.personal else "sealed"
