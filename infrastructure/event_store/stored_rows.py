"""Rows of the log as the library's notifications, with Rollbook's columns and the wrapped key."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Self
from uuid import UUID

from eventsourcing.persistence import Notification

from application.log.event_log import StreamKey

EVENT: Final = """
    e.notification_id, e.originator_id, e.originator_version, e.topic, e.state, e.kind, e.event_id,
    e.actor, e.on_behalf_of, e.correlation_id, e.causation_id, e.recorded_at"""
# The statement that reads the event also reads its wrapped key: a destroyed key is gone at once.
COLUMNS: Final = f"{EVENT}, k.master_id, k.wrapped"
# For readers without keys: whether there is one, but not the key.
SEALED_COLUMNS: Final = f"{EVENT}, k.master_id, NULL::bytea"
WITH_KEY: Final = """
    stored_events e LEFT JOIN subject_keys k ON k.subject = e.originator_id AND k.tenant = e.tenant"""

# One probe per stream: with an ordinary join the planner might read all keys for a few events.
PROBED_KEY: Final = """
    LEFT JOIN LATERAL (
        SELECT s.master_id, s.wrapped FROM subject_keys s
        WHERE s.subject = e.originator_id AND s.tenant = e.tenant
        LIMIT 1) k ON true"""

Row = Sequence[Any]
KEY_COLUMNS: Final = 2


@dataclass(frozen=True, init=False, eq=False)
class StoredRow(Notification):
    """One row of `COLUMNS` or `SEALED_COLUMNS`; the latter has no key, but says if there is one."""

    originator_id: UUID
    kind: str
    event_id: UUID
    actor: str
    on_behalf_of: str | None
    correlation_id: str
    causation_id: UUID | None
    recorded_at: datetime
    has_key: bool
    key: StreamKey | None

    @classmethod
    def of(cls, row: Row) -> Self:
        stored = cls.__new__(cls)
        # A frozen dataclass would set each field by itself, which takes several times as long.
        fields = stored.__dict__
        (
            fields["id"],
            fields["originator_id"],
            fields["originator_version"],
            fields["topic"],
            fields["state"],
            fields["kind"],
            fields["event_id"],
            fields["actor"],
            fields["on_behalf_of"],
            fields["correlation_id"],
            fields["causation_id"],
            fields["recorded_at"],
            *_,
            master_id,
            wrapped,
        ) = row
        fields["has_key"] = master_id is not None
        fields["key"] = None if wrapped is None else StreamKey(master_id, wrapped)
        return stored


def key_of(row: Row) -> StreamKey | None:
    """The wrapped key at the end of a row of `COLUMNS`."""
    master_id, wrapped = row[-KEY_COLUMNS:]
    return None if wrapped is None else StreamKey(master_id, wrapped)
