"""The eventsourcing library's recorder on the same append function, so that its `save` works too.

Configure an application of the library with `PERSISTENCE_MODULE=eventsourcing.postgres`,
`APPLICATION_RECORDER_TOPIC=infrastructure.event_store.library_recorder:AppendRecorder` and
`CREATE_TABLE=no`.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Final
from uuid import UUID

from eventsourcing.persistence import (
    IntegrityError,
    InterfaceError,
    InternalError,
    OperationalError,
    StoredEvent,
)
from eventsourcing.postgres import PostgresApplicationRecorder, PostgresDatastore
from eventsourcing.utils import retry
from uuid_utils.compat import uuid7

from application.context import TENANT
from application.errors import VersionConflict
from infrastructure.event_store.append_requests import (
    APPEND,
    CHANNEL,
    AppendRequest,
    AppendResult,
    append_request,
    append_results,
    batch_payload,
)

# The transaction holds the append function's lock until the commit, which is another round trip:
# a client that freezes in between must not block every writer.
_SETTING: Final = "SET LOCAL idle_in_transaction_session_timeout = 2000"
_ACTOR: Final = "system:eventsourcing"
_KIND: Final = "library"


class AppendRecorder(PostgresApplicationRecorder):
    """Appends through `append_v2`: all writers share its lock, its version check and its times.

    Several aggregates are saved in one transaction. Event ids are made once, so that a retry
    after a lost reply finds its own events instead of a conflict.
    """

    def __init__(
        self, datastore: PostgresDatastore, *, events_table_name: str = "stored_events"
    ) -> None:
        super().__init__(datastore, events_table_name=events_table_name)
        # The library's subscriptions listen on this channel; the append function notifies it.
        self.channel_name = CHANNEL

    def insert_events(
        self, stored_events: Sequence[StoredEvent], **kwargs: Any
    ) -> Sequence[int] | None:
        """Positions, in the order of the events. Raises the library's `IntegrityError`."""
        if not stored_events:
            return []
        streams: dict[UUID, list[StoredEvent]] = {}
        for event in stored_events:
            streams.setdefault(UUID(str(event.originator_id)), []).append(event)
        items = [_item(stream, events) for stream, events in streams.items()]
        last_positions = self._append(items)
        positions = {
            (stream, event.originator_version): last - len(events) + 1 + index
            for (stream, events), last in zip(streams.items(), last_positions, strict=True)
            for index, event in enumerate(events)
        }
        return [
            positions[UUID(str(event.originator_id)), event.originator_version]
            for event in stored_events
        ]

    # A session that the server ended because it was idle too long is an InternalError.
    @retry((InterfaceError, InternalError, OperationalError), max_attempts=10, wait=0.2)
    def _append(self, items: Sequence[AppendRequest]) -> list[int]:
        last_positions: list[int] = []
        with self.datastore.transaction(commit=True) as cursor:
            cursor.execute(_SETTING)
            cursor.execute(f"{APPEND} AS answer", (TENANT, batch_payload(items)), prepare=True)
            row = cursor.fetchone()
            assert row is not None
            for outcome in append_results(row["answer"], items):
                match outcome:
                    case AppendResult():
                        last_positions.append(outcome.position)
                    case VersionConflict():
                        raise IntegrityError("the stream is at another version")
                    case _:
                        raise outcome
        return last_positions


def _item(stream: UUID, events: Sequence[StoredEvent]) -> AppendRequest:
    if any(two.originator_version != one.originator_version + 1 for one, two in pairwise(events)):
        raise IntegrityError("the versions of a stream must be consecutive")
    return append_request(
        kind=_KIND,
        stream=stream,
        first=events[0].originator_version,
        events=[(uuid7(), event.topic, event.state) for event in events],
        actor=_ACTOR,
        correlation_id=str(uuid7()),
    )
