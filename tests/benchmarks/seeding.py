"""Fills a log by COPY, like that of a real directory: sealed, with interleaved user histories."""

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from heapq import heappop, heappush
from typing import Any, Final
from uuid import UUID

import psycopg
from msgspec import Struct

from application.context import TENANT
from domain.email import comparable_address
from domain.event import Event
from domain.user.events import (
    PreviousEmail,
    PreviousName,
    PreviousRole,
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
from domain.user.state import Status
from infrastructure.event_store.serializer import to_state
from infrastructure.keys import MasterKeyRing, PersonCipher
from tests.benchmarks.population import Population

EVENTS_PER_USER: Final = 3
START: Final = datetime(2020, 1, 1, tzinfo=UTC)
# The next change of a user comes within this many events.
_LIFETIME: Final = 400_000
_ACTORS: Final = 20
_ONE_BY_RARE_ACTOR: Final = 100_000
_TABLES: Final = {
    "stored_events": (
        "originator_id, originator_version, topic, state, notification_id, tenant, kind,"
        " event_id, actor, on_behalf_of, correlation_id, recorded_at",
        "uuid int8 text bytea int8 text text uuid text text text timestamptz",
    ),
    "subject_keys": ("tenant, subject, master_id, wrapped", "text uuid text bytea"),
    "claims": ("tenant, scope, value, stream_id", "text text bytea uuid"),
}
RARE_ACTOR: Final = "token:rare"
COMMON_ACTOR: Final = "token:seed-1"


class _User(Struct):
    stream: UUID
    cipher: PersonCipher
    number: int
    version: int
    changes: int
    name: str
    email: str
    role: str
    status: Status = "active"


async def seed(
    database_url: str, keys: MasterKeyRing, events: int, users: int | None = None
) -> None:
    """Writes that many events, with keys and claims, into the empty log of a migrated database.

    Without `users` there are three events per user.
    """
    source = _Log(keys, events, users or events // EVENTS_PER_USER)
    async with await psycopg.AsyncConnection.connect(database_url) as connection:
        async with connection.cursor() as cursor:
            for table, rows in (
                ("stored_events", source.events()),
                ("subject_keys", source.wrapped),
                ("claims", source.claims),
            ):
                columns, types = _TABLES[table]
                command = f"COPY {table} ({columns}) FROM STDIN BINARY"
                async with cursor.copy(command.encode()) as copy:
                    copy.set_types(types.split())
                    for row in rows:
                        await copy.write_row(row)
            await cursor.execute(
                "SELECT setval('stored_events_notification_id_seq', %s)", (events,)
            )
        await connection.commit()
        await connection.set_autocommit(True)
        await connection.execute("VACUUM (ANALYZE) stored_events, subject_keys, claims")


class _Log:
    """Registers users one after another, and changes each of them a few times later."""

    def __init__(self, keys: MasterKeyRing, events: int, users: int) -> None:
        self.wrapped: list[tuple[Any, ...]] = []
        self.claims: list[tuple[Any, ...]] = []
        self._keys = keys
        self._events = events
        self._users = users
        self._rng = random.Random(7)
        self._people = Population(self._rng, users)
        self._due: list[tuple[int, int, _User]] = []
        self._count = 0

    def events(self) -> Iterator[tuple[Any, ...]]:
        """The rows of the log; `wrapped` and `claims` are complete after the last one."""
        for position in range(1, self._events + 1):
            user, event = self._next(position)
            user.version += 1
            event_id = _id(self._rng, position)
            yield (
                user.stream,
                user.version,
                event.topic,
                to_state(event, user.stream, event_id, user.cipher),
                position,
                TENANT,
                "user",
                event_id,
                RARE_ACTOR if position % _ONE_BY_RARE_ACTOR == 9 else self._actor(),
                "hr" if position % 7 == 0 else None,
                f"request-{event_id.int & 0xFFFFFFFFFFFF:x}",
                START + timedelta(seconds=position),
            )
            self._plan(user, position)
        for _, _, user in self._due:
            self._claim(user)

    def _next(self, position: int) -> tuple[_User, Event]:
        expected = position * self._users // self._events
        if self._due and (self._due[0][0] <= position or self._count > expected):
            user = heappop(self._due)[2]
            return user, self._change(user)
        self._count += 1
        return self._new_user(position)

    def _plan(self, user: _User, position: int) -> None:
        """Schedules the next change of the user, or writes its claims if there is none."""
        if user.changes == 0:
            self._claim(user)
            return
        user.changes -= 1
        later = position + self._rng.randrange(1, min(self._events, _LIFETIME))
        heappush(self._due, (later, position, user))

    def _new_user(self, position: int) -> tuple[_User, Event]:
        number = self._count
        stream = _id(self._rng, position)
        key = self._keys.new_key(stream)
        self.wrapped.append((TENANT, stream, key.master_id, key.wrapped))
        person = self._people.person(number)
        changes = round(self._rng.expovariate(1 / max(self._events / self._users - 1, 0.1)))
        cipher = self._keys.cipher(stream, key)
        user = _User(stream, cipher, number, 0, changes, person.name, person.email, person.role)
        registered = UserRegistered(
            name=user.name,
            email=user.email,
            role=user.role,
            external_id=f"e-{number}",
            attributes={
                "department": "Sales",
                "phones": ["+46 123", "+46 345"],
                "floor": number % 9,
            },
        )
        return user, registered

    def _change(self, user: _User) -> Event:
        rng = self._rng
        # Most of the oldest users are deleted.
        if user.changes == 0 and user.number < self._users // 10 and user.status != "deleted":
            user.status = "deleted"
            return UserDeleted()
        if user.status == "deleted":
            user.status = "active"
            return UserRestored()
        if user.status == "suspended":
            user.status = "active"
            return UserReinstated()
        match rng.randrange(16):
            case 0 | 1 | 2 | 3:
                previous, user.name = (
                    user.name,
                    f"{user.name.split()[0]} {self._people.last_name()}",
                )
                return UserRenamed(name=user.name, previous=PreviousName(previous))
            case 4 | 5 | 6 | 7:
                before = user.email
                user.email = f"{self._people.first_name()}{user.number}@{before.partition('@')[2]}"
                return UserEmailChanged(email=user.email, previous=PreviousEmail(before))
            case 8 | 9 if user.role in ("member", "manager"):
                previous, user.role = user.role, "member" if user.role == "manager" else "manager"
                return UserRoleChanged(role=user.role, previous=PreviousRole(previous))
            case 10:
                user.status = "deleted"
                return UserDeleted()
            case 11:
                user.status = "suspended"
                return UserSuspended()
            case _:
                floor = rng.randrange(40)
                return UserAttributesChanged(
                    set={"floor": floor}, removed=(), previous={"floor": 1}
                )

    def _claim(self, user: _User) -> None:
        """Adds the claims of a user; a deleted user has none."""
        if user.status == "deleted":
            return
        for scope, value in (
            ("email", comparable_address(user.email)),
            ("external_id", f"e-{user.number}"),
        ):
            self.claims.append((TENANT, scope, self._keys.claim(scope, value), user.stream))

    def _actor(self) -> str:
        return f"token:seed-{self._rng.randrange(_ACTORS)}"


def _id(rng: random.Random, position: int) -> UUID:
    """A UUIDv7 with the time of the event."""
    milliseconds = int((START.timestamp() + position) * 1000)
    random_bits = rng.getrandbits(74)
    value = milliseconds << 80 | 7 << 76 | (random_bits >> 62) << 64 | 2 << 62
    return UUID(int=value | random_bits & (1 << 62) - 1)
