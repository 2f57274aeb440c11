"""Users with long histories, written with COPY, which is faster than commands."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

import psycopg
from msgspec.structs import replace
from psycopg.sql import SQL, Identifier
from uuid_utils.compat import uuid7

from application.context import TENANT
from application.errors import Unavailable
from application.log.event_log import EventLog
from application.users.history import SNAPSHOT_EVERY
from application.users.service import UserService
from application.users.snapshots import snapshot_of
from application.users.states import UserAt, UserState, after
from domain.event import Event
from domain.user.events import (
    PreviousName,
    PreviousRole,
    UserAttributesChanged,
    UserRegistered,
    UserRenamed,
    UserRoleChanged,
)
from infrastructure.event_store.serializer import to_state
from infrastructure.keys import MasterKeyRing, PersonCipher
from tests.support.log.drafts import change

_COLUMNS: Final = {
    "originator_id": "uuid",
    "originator_version": "int8",
    "topic": "text",
    "state": "bytea",
    "notification_id": "int8",
    "tenant": "text",
    "kind": "text",
    "event_id": "uuid",
    "actor": "text",
    "correlation_id": "text",
    "recorded_at": "timestamptz",
}
_COPY: Final = SQL("COPY stored_events ({}) FROM STDIN BINARY").format(
    SQL(", ").join(map(Identifier, _COLUMNS))
)
_ROLES: Final = ("member", "owner")


async def record_histories(
    database_url: str, keys: MasterKeyRing, versions: int, *, users: int = 1
) -> list[UUID]:
    """New users with this many versions each, one microsecond apart. Allows no other writer."""
    streams = [uuid7() for _ in range(users)]
    wrapped = {stream: keys.new_key(stream) for stream in streams}
    async with await psycopg.AsyncConnection.connect(database_url) as connection:
        found = await connection.execute(
            "SELECT coalesce(max(notification_id), 0),"
            " greatest(max(recorded_at), now() - interval '1 day') FROM stored_events"
        )
        head, begin = await found.fetchone() or (0, datetime.now(UTC))
        async with connection.cursor() as cursor:
            await cursor.executemany(
                "INSERT INTO subject_keys (tenant, subject, master_id, wrapped)"
                " VALUES (%s, %s, %s, %s)",
                [(TENANT, one, key.master_id, key.wrapped) for one, key in wrapped.items()],
            )
            async with cursor.copy(_COPY) as copy:
                copy.set_types(list(_COLUMNS.values()))
                for number, (stream, key) in enumerate(wrapped.items()):
                    before = number * versions
                    at = begin + timedelta(microseconds=before)
                    cipher = keys.cipher(stream, key)
                    for row in _rows(stream, cipher, versions, head + before, at):
                        await copy.write_row(row)
        await connection.execute(
            "SELECT setval('stored_events_notification_id_seq', %s)", (head + users * versions,)
        )
        await connection.commit()
        await connection.set_autocommit(True)
        await connection.execute("ANALYZE stored_events, subject_keys")
    return streams


def event_at(version: int, stream: UUID) -> Event:
    """The event of one version of a recorded history."""
    if version == 1:
        return UserRegistered(
            name="Åsa 1", email=f"{stream}@example.com", role="member", attributes={"team": "maps"}
        )
    match version % 3:
        case 0:
            return UserRenamed(name=f"Åsa {version}", previous=PreviousName(f"Åsa {version - 1}"))
        case 1:
            floor = {"floor": version}
            return UserAttributesChanged(set=floor, removed=(), previous={})
        case _:
            role = _ROLES[version // 3 % 2]
            return UserRoleChanged(role=role, previous=PreviousRole(_ROLES[1 - version // 3 % 2]))


def _rows(
    stream: UUID, cipher: PersonCipher, versions: int, head: int, begin: datetime
) -> Iterator[tuple[Any, ...]]:
    for version in range(1, versions + 1):
        event, event_id = event_at(version, stream), uuid7()
        yield (
            stream,
            version,
            event.topic,
            to_state(event, stream, event_id, cipher),
            head + version,
            TENANT,
            "user",
            event_id,
            "token:history",
            "history",
            begin + timedelta(microseconds=version),
        )


async def make_snapshots(log: EventLog, user_id: UUID) -> None:
    """Store the snapshots that commands would have stored."""
    loaded = await log.load(user_id)
    assert loaded.key is not None
    state: UserState | None = None
    for recorded in loaded.events:
        state = after(state, recorded)
        if recorded.version % SNAPSHOT_EVERY == 0 and isinstance(state, UserAt):
            draft = change(user_id, recorded.version, sealed_with=loaded.key)
            snapshot = snapshot_of(state.user, state.setters)
            await log.append(replace(draft, events=(), snapshot=snapshot))


async def user_at_with_retries(
    users: UserService, user_id: UUID, version: int | None = None
) -> UserAt:
    """The user; retries while the stream is too long to load without a snapshot."""
    while True:
        try:
            return await users.user_at(user_id, version=version)
        except Unavailable:
            await asyncio.sleep(0.1)
