"""A log of any length by COPY, as a directory's would be: sealed, its users' histories interleaved."""

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from heapq import heappop, heappush
from typing import Any, Final
from uuid import UUID

import psycopg
from msgspec import Struct

from application.context import TENANT
from application.keys.ports import Cipher, KeyRing
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
from tests.benchmarks.population import Population

EVENTS_A_USER: Final = 3
START: Final = datetime(2020, 1, 1, tzinfo=UTC)
# A user's changes come within so many events.
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
    cipher: Cipher
    number: int
    version: int
    changes: int
    name: str
    email: str
    role: str
    status: Status = "active"


async def seed(database_url: str, keys: KeyRing, events: int, users: int | None = None) -> None:
    """That many events into the empty log of a migrated database; three a user unless it is said.

    With them come the users' keys and claims.
    """
    source = _Log(keys, events, users or events // EVENTS_A_USER)
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
    """Users come one after another; each is changed a few times some time later."""

    def __init__(self, keys: KeyRing, events: int, users: int) -> None:
        self.wrapped: list[tuple[Any, ...]] = []
        self.claims: list[tuple[Any, ...]] = []
        self._keys = keys
        self._events = events
        self._users = users
        self._chance = random.Random(7)
        self._people = Population(self._chance, users)
        self._due: list[tuple[int, int, _User]] = []
        self._count = 0

    def events(self) -> Iterator[tuple[Any, ...]]:
        """The rows of the log; `wrapped` and `claims` are whole after the last."""
        for position in range(1, self._events + 1):
            user, event = self._next(position)
            user.version += 1
            event_id = _id(self._chance, position)
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
        wanted = position * self._users // self._events
        if self._due and (self._due[0][0] <= position or self._count > wanted):
            user = heappop(self._due)[2]
            return user, self._change(user)
        self._count += 1
        return self._newcomer(position)

    def _plan(self, user: _User, position: int) -> None:
        """When the user is changed next, if ever."""
        if user.changes == 0:
            self._claim(user)
            return
        user.changes -= 1
        later = position + self._chance.randrange(1, min(self._events, _LIFETIME))
        heappush(self._due, (later, position, user))

    def _newcomer(self, position: int) -> tuple[_User, Event]:
        number = self._count
        stream = _id(self._chance, position)
        key = self._keys.new_key(stream)
        self.wrapped.append((TENANT, stream, key.master_id, key.wrapped))
        person = self._people.person(number)
        changes = round(self._chance.expovariate(1 / max(self._events / self._users - 1, 0.1)))
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
        chance = self._chance
        # Most of those who came first are gone.
        if user.changes == 0 and user.number < self._users // 10 and user.status != "deleted":
            user.status = "deleted"
            return UserDeleted()
        if user.status == "deleted":
            user.status = "active"
            return UserRestored()
        if user.status == "suspended":
            user.status = "active"
            return UserReinstated()
        match chance.randrange(16):
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
                floor = chance.randrange(40)
                return UserAttributesChanged(
                    set={"floor": floor}, removed=(), previous={"floor": 1}
                )

    def _claim(self, user: _User) -> None:
        """A user who is gone holds nothing."""
        if user.status == "deleted":
            return
        for scope, value in (
            ("email", comparable_address(user.email)),
            ("external_id", f"e-{user.number}"),
        ):
            self.claims.append((TENANT, scope, self._keys.mac(value.encode()), user.stream))

    def _actor(self) -> str:
        return f"token:seed-{self._chance.randrange(_ACTORS)}"


def _id(chance: random.Random, position: int) -> UUID:
    """A UUIDv7 of the event's time."""
    milliseconds = int((START.timestamp() + position) * 1000)
    random_bits = chance.getrandbits(74)
    value = milliseconds << 80 | 7 << 76 | (random_bits >> 62) << 64 | 2 << 62
    return UUID(int=value | random_bits & (1 << 62) - 1)
