"""The twin of the projectors: the `ProjectionRunner` of the eventsourcing library.

It reads the same log through the library's subscription. For each event it changes a plain table of
users and records the position, in one transaction. It gets the events already decrypted, so
decryption costs it nothing.
"""

import time
from collections.abc import Mapping
from typing import Any, ClassVar, Final
from uuid import UUID

import psycopg
from eventsourcing.application import Application
from eventsourcing.dispatch import singledispatchmethod
from eventsourcing.persistence import Mapper, Notification, StoredEvent, Tracking
from eventsourcing.postgres import PostgresTrackingRecorder
from eventsourcing.projection import Projection, ProjectionRunner
from psycopg.types.json import Jsonb

from application.log.event_log import EventFeed
from domain.event import Event, Recorded
from domain.user.events import (
    UserAttributesChanged,
    UserDeleted,
    UserEmailChanged,
    UserRegistered,
    UserReinstated,
    UserRenamed,
    UserRestored,
    UserRoleChanged,
    UserSuspended,
)
from tests.integration.event_store.test_library_recorder import connection_settings

_TABLE: Final = """
CREATE TABLE IF NOT EXISTS library_users (
    id uuid PRIMARY KEY, name text NOT NULL, email text NOT NULL, role text NOT NULL,
    external_id text, attributes jsonb NOT NULL, version bigint NOT NULL,
    created_at timestamptz NOT NULL, updated_at timestamptz NOT NULL)"""
_INDEXES: Final = tuple(
    f"CREATE INDEX IF NOT EXISTS library_users_{column} ON library_users ({column}, id)"
    for column in ("name", "email", "external_id", "created_at", "updated_at")
)
_TRACKING: Final = """
CREATE TABLE IF NOT EXISTS users_tracking (
    application_name text PRIMARY KEY, notification_id bigint)"""
_FROM_THE_START: Final = "TRUNCATE library_users, users_tracking"
_REGISTERED: Final = "INSERT INTO library_users VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)"
_RENAMED: Final = """
UPDATE library_users SET name = %s, version = %s, updated_at = %s WHERE id = %s"""
_ROLE_CHANGED: Final = """
UPDATE library_users SET role = %s, version = %s, updated_at = %s WHERE id = %s"""
_EMAIL_CHANGED: Final = """
UPDATE library_users SET email = %s, version = %s, updated_at = %s WHERE id = %s"""
_ATTRIBUTES_CHANGED: Final = """
UPDATE library_users SET attributes = attributes || %s, version = %s, updated_at = %s
WHERE id = %s"""
_TOUCHED: Final = "UPDATE library_users SET version = %s, updated_at = %s WHERE id = %s"
_PAGE: Final = 5000


class Stored(Application[UUID]):
    """The library derives the table name `stored_events` from `name`."""

    name = "stored"


class PreparedEvents(Mapper[UUID]):
    """Finds each decrypted event of the log by its position."""

    by_position: ClassVar[Mapping[int, Recorded[Event]]] = {}

    def to_domain_event(self, stored_event: StoredEvent) -> Any:
        assert isinstance(stored_event, Notification)
        return self.by_position[stored_event.id]


class UsersTable(PostgresTrackingRecorder):
    """One row per user, changed in the transaction that records the position."""

    def show(self, recorded: Recorded[Event], tracking: Tracking) -> None:
        with self.datastore.transaction(commit=True) as cursor:
            self._insert_tracking(cursor, tracking)
            statement, values = _change(recorded)
            cursor.execute(statement.encode(), values, prepare=True)


class Users(Projection[UsersTable]):
    name = "users"

    @singledispatchmethod
    def process_event(self, domain_event: Any, tracking: Tracking) -> None:
        self.view.show(domain_event, tracking)


async def prepare(feed: EventFeed) -> None:
    """Reads and decrypts the whole log for the later runs."""
    events = dict[int, Recorded[Event]]()
    after = 0
    while (page := await feed.read(after, _PAGE)).events:
        events.update((recorded.position, recorded) for recorded in page.events)
        after = page.reached
    PreparedEvents.by_position = events


def events_per_second(url: str, seconds: float) -> float:
    """Follows the log from its start for `seconds` at most. `prepare` must have run before."""
    environment = {
        "PERSISTENCE_MODULE": "eventsourcing.postgres",
        "APPLICATION_RECORDER_TOPIC": "infrastructure.event_store.library_recorder:AppendRecorder",
        "MAPPER_TOPIC": f"{PreparedEvents.__module__}:{PreparedEvents.__name__}",
        "CREATE_TABLE": "no",
        **{f"POSTGRES_{name.upper()}": value for name, value in connection_settings(url).items()},
    }
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in (_TABLE, *_INDEXES, _TRACKING, _FROM_THE_START):
            connection.execute(statement.encode())
    last = max(PreparedEvents.by_position)
    began = time.perf_counter()
    with ProjectionRunner[Stored, UsersTable](
        application_class=Stored,
        projection_class=Users,
        view_class=UsersTable,
        env=environment,
    ) as runner:
        while (seen := runner.view.max_tracking_id("stored") or 0) < last:
            if time.perf_counter() - began > seconds:
                break
            runner.run_forever(timeout=0.02)
        took = time.perf_counter() - began
    return sum(position <= seen for position in PreparedEvents.by_position) / took


def _change(recorded: Recorded[Event]) -> tuple[str, tuple[Any, ...]]:
    version, at, stream = recorded.version, recorded.recorded_at, recorded.stream
    match recorded.event:
        case UserRegistered() as user:
            attributes = Jsonb(user.attributes)
            named = (stream, user.name, user.email, user.role, user.external_id)
            return _REGISTERED, (*named, attributes, version, at, at)
        case UserRenamed() as renamed:
            return _RENAMED, (renamed.name, version, at, stream)
        case UserRoleChanged() as changed:
            return _ROLE_CHANGED, (changed.role, version, at, stream)
        case UserEmailChanged() as changed:
            return _EMAIL_CHANGED, (changed.email, version, at, stream)
        case UserAttributesChanged() as changed:
            return _ATTRIBUTES_CHANGED, (Jsonb(changed.set), version, at, stream)
        case UserDeleted() | UserRestored() | UserSuspended() | UserReinstated():
            return _TOUCHED, (version, at, stream)
        case other:
            raise AssertionError(other)
