"""From rows of the log to recorded events."""

from collections.abc import Sequence
from typing import Any, Final, cast

from application.event_log import StreamKey, Unreadable
from application.keys import KeyRing, SealBroken
from domain.event import Event, Recorded
from infrastructure.event_store.mapper import Undecodable, to_event

# The wrapped key is read in the statement that reads the event: a destroyed key is gone at once.
COLUMNS: Final = """
    e.notification_id, e.originator_id, e.originator_version, e.topic, e.state, e.kind, e.event_id,
    e.actor, e.on_behalf_of, e.correlation_id, e.causation_id, e.recorded_at,
    k.master_id, k.wrapped"""
WITH_KEY: Final = """
    stored_events e LEFT JOIN subject_keys k ON k.subject = e.originator_id AND k.tenant = e.tenant"""

Row = Sequence[Any]
KEY_COLUMNS: Final = 2


def recorded(row: Row, keys: KeyRing, *, leniently: bool = False) -> Recorded[Event]:
    """The event of a row of `COLUMNS`; `leniently` puts an `Unreadable` in an unreadable one's place.

    Raises what the key ring raises, and else what `to_event` does.
    """
    (
        position,
        stream,
        version,
        topic,
        state,
        kind,
        event_id,
        actor,
        on_behalf_of,
        correlation_id,
        causation_id,
        recorded_at,
        master_id,
        wrapped,
    ) = row
    cipher = None
    if wrapped is not None:
        cipher = keys.cipher(stream, StreamKey(master_id=master_id, wrapped=wrapped))
    try:
        event = to_event(topic, state, stream, event_id, cipher)
    except (Undecodable, SealBroken) as error:
        if not leniently:
            raise
        event = Unreadable(type=topic, reason=f"{type(error).__name__}: {error}")
    return Recorded[Event](
        event=event,
        kind=kind,
        stream=stream,
        version=version,
        position=position,
        event_id=event_id,
        actor=actor,
        on_behalf_of=on_behalf_of,
        correlation_id=correlation_id,
        causation_id=causation_id,
        recorded_at=recorded_at,
    )


def key_of(row: Row) -> StreamKey | None:
    """The wrapped key at the end of a row of `COLUMNS`."""
    master_id, wrapped = row[-KEY_COLUMNS:]
    if wrapped is None:
        return None
    return StreamKey(master_id=cast("str", master_id), wrapped=cast("bytes", wrapped))
