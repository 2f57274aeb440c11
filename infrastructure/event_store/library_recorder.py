"""Rollbook's log as a persistence module of the eventsourcing library: its recorder and factory.

`interfaces.composition.persistence` is the module to name in `PERSISTENCE_MODULE`.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Final
from uuid import UUID

from eventsourcing.persistence import (
    InfrastructureFactoryError,
    IntegrityError,
    InterfaceError,
    InternalError,
    Mapper,
    OperationalError,
    StoredEvent,
    Transcoder,
)
from eventsourcing.postgres import (
    PostgresApplicationRecorder,
    PostgresDatastore,
    PostgresFactory,
)
from eventsourcing.utils import Environment, EnvType, retry
from psycopg.conninfo import conninfo_to_dict
from psycopg.types.numeric import Int8
from uuid_utils.compat import uuid7

from application.context import TENANT
from application.errors import VersionConflict
from application.log.search import LIBRARY_KIND
from infrastructure.event_store.append_requests import (
    APPEND,
    CHANNEL,
    AppendRequest,
    AppendResult,
    append_request,
    append_results,
    batch_payload,
)
from infrastructure.event_store.mapper import RollbookMapper
from infrastructure.event_store.stored_rows import COLUMNS, WITH_KEY, StoredRow
from infrastructure.keys import MasterKeyRing

# The transaction holds the append function's lock until the commit, which is another round trip:
# a client that freezes in between must not block every writer.
_SETTING: Final = "SET LOCAL idle_in_transaction_session_timeout = 2000"
_SERVER: Final = {"host": "localhost", "port": "5432"}
_NO_BOUND: Final = 2**62
_ACTOR: Final = "system:eventsourcing"
_SELECT: Final = f"SELECT {COLUMNS} FROM {WITH_KEY} WHERE"


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

    def select_events(
        self,
        originator_id: UUID | str,
        *,
        gt: int | None = None,
        lte: int | None = None,
        desc: bool = False,
        limit: int | None = None,
    ) -> Sequence[StoredRow]:
        """The events of a stream, each with its wrapped key."""
        return self._rows(
            f"""{_SELECT} e.originator_id = %s AND e.originator_version > %s
            AND e.originator_version <= %s
            ORDER BY e.originator_version {"DESC" if desc else "ASC"} LIMIT %s""",
            (originator_id, *_between(gt, lte), limit),
        )

    def select_notifications(
        self,
        start: int | None,
        limit: int,
        stop: int | None = None,
        topics: Sequence[str] = (),
        *,
        inclusive_of_start: bool = True,
    ) -> Sequence[StoredRow]:
        """The events of the log from a position on, each with its wrapped key."""
        after = start - 1 if start is not None and inclusive_of_start else start
        return self._rows(
            f"""{_SELECT} e.notification_id > %s AND e.notification_id <= %s
            AND (%s OR e.topic = ANY (%s)) ORDER BY e.notification_id LIMIT %s""",
            (*_between(after, stop), not topics, list(topics), limit),
        )

    @retry((InterfaceError, OperationalError), max_attempts=10, wait=0.2)
    def _rows(self, statement: str, parameters: Sequence[Any]) -> Sequence[StoredRow]:
        with self.datastore.get_connection() as connection, connection.cursor() as cursor:
            cursor.execute(statement.encode(), parameters, prepare=True)
            return [StoredRow.of(tuple(row.values())) for row in cursor.fetchall()]

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


class RollbookFactory(PostgresFactory, ABC):
    """Gives an application of the library Rollbook's log. Alembic owns its table.

    It reads `ROLLBOOK_DATABASE_URL` instead of the library's `POSTGRES_` names for the server.
    """

    DATABASE_URL: Final = "ROLLBOOK_DATABASE_URL"

    def __init__(self, env: Environment | EnvType | None) -> None:
        env = env if isinstance(env, Environment) else Environment(env=env)
        url = env.get(self.DATABASE_URL)
        if not url:
            raise InfrastructureFactoryError(f"{self.DATABASE_URL} is not set")
        server = conninfo_to_dict(url)
        for name in ("dbname", "host", "port", "user", "password"):
            env[f"POSTGRES_{name.upper()}"] = str(server.get(name) or _SERVER.get(name, ""))
        super().__init__(env)

    @abstractmethod
    def keys(self) -> MasterKeyRing:
        """The keys that open Rollbook's events."""

    def mapper(
        self, transcoder: Transcoder | None = None, mapper_class: type[Mapper[Any]] | None = None
    ) -> Mapper[Any]:
        """The mapper of all readers and writers of the log."""
        return RollbookMapper(self.keys(), transcoder or self.transcoder())

    def application_recorder(self) -> AppendRecorder:
        """The recorder on the append function."""
        return AppendRecorder(self.datastore)

    def aggregate_recorder(self, purpose: str = "events") -> AppendRecorder:
        """The same: Rollbook keeps no snapshots of the library's aggregates."""
        if purpose != "events":
            raise InfrastructureFactoryError("the log has no table for snapshots of aggregates")
        return self.application_recorder()


def _between(above: int | None, up_to: int | None) -> tuple[Int8, Int8]:
    return Int8(-1 if above is None else above), Int8(_NO_BOUND if up_to is None else up_to)


def _item(stream: UUID, events: Sequence[StoredEvent]) -> AppendRequest:
    if any(two.originator_version != one.originator_version + 1 for one, two in pairwise(events)):
        raise IntegrityError("the versions of a stream must be consecutive")
    return append_request(
        kind=LIBRARY_KIND,
        stream=stream,
        first=events[0].originator_version,
        events=[(uuid7(), event) for event in events],
        actor=_ACTOR,
        correlation_id=str(uuid7()),
    )
