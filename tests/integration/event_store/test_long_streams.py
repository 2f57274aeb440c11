"""A user with very many versions on a real log: how much is read, and that it is not slowdown."""

import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from itertools import pairwise
from random import Random
from typing import Any
from uuid import UUID

import msgspec
import psycopg
import pytest
from psycopg.rows import TupleRow

from application.audit.blame import blame
from application.context import Context
from application.errors import UserGone
from application.users.history import SNAPSHOT_EVERY
from application.users.service import UserService
from domain.user.commands import ChangeUser, DeleteUser, EraseUser, RestoreUser
from domain.values import PersonName
from infrastructure.keys import MasterKeys
from interfaces.composition.event_store import EventStore, open_event_store
from tests.support.log.long_streams import (
    event_at,
    make_snapshots,
    record_histories,
    user_at_with_retries,
)
from tests.support.servers.postgres import scaled

VERSIONS = min(scaled(20_000), 100_000)
SET_LAST = {
    "name": "user.renamed",
    "role": "user.role_changed",
    "email": "user.registered",
    "external_id": "user.registered",
    "status": "user.registered",
}
CONTEXT = Context(actor="token:t", correlation_id="test")
# Loose, because the machine may be busy; `tests/benchmarks/long_streams.py` measures.
MAX_SLOWDOWN = 4


@pytest.fixture
async def store(database_url: str, master_keys: str) -> AsyncIterator[EventStore]:
    async with open_event_store(database_url, MasterKeys.parse(master_keys)) as store:
        yield store


@pytest.fixture
async def admin(database_url: str) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
        yield connection


@pytest.fixture
def users(store: EventStore) -> UserService:
    return UserService(store.log)


@pytest.fixture
def reads(store: EventStore, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of rows that each statement on the log returned."""
    counts: list[int] = []
    rows = store.database.rows

    async def counted(*arguments: Any, **named: Any) -> list[TupleRow]:
        found = await rows(*arguments, **named)
        counts.append(len(found))
        return found

    monkeypatch.setattr(store.database, "rows", counted)
    return counts


async def seconds(call: Callable[[], Awaitable[object]]) -> float:
    began = time.perf_counter()
    await call()
    return time.perf_counter() - began


def rename(number: int) -> ChangeUser:
    return ChangeUser(name=PersonName.parse(f"Zoë {number}"))


@pytest.mark.alone
async def test_a_long_stream_is_read_and_commanded_like_a_short_one(
    database_url: str, store: EventStore, users: UserService, reads: list[int]
) -> None:
    short = await record_histories(database_url, store.keys, 10, users=100)
    (long,) = await record_histories(database_url, store.keys, VERSIONS)
    await make_snapshots(store.log, long)
    last = await users.user_at(long)
    random = Random(1)
    span = last.updated_at - last.created_at

    def any_version(user: UUID, versions: int) -> Awaitable[object]:
        return users.user_at(user, version=random.randint(1, versions))

    def any_time(user: UUID, _: int) -> Awaitable[object]:
        return users.user_at(user, at=last.created_at + random.random() * span)

    def command(user: UUID, _: int) -> Awaitable[object]:
        return users.execute(user, rename(random.randint(0, 10**9)), CONTEXT)

    for ask in (any_version, any_time, command):
        times: tuple[list[float], list[float]] = ([], [])
        for each in short:
            times[0].append(await seconds(lambda ask=ask, each=each: ask(each, 10)))
            del reads[:]
            times[1].append(await seconds(lambda ask=ask: ask(long, VERSIONS)))
            assert len(reads) == 1
            assert reads[0] <= SNAPSHOT_EVERY + 1
        slowdown = statistics.median(times[1]) / statistics.median(times[0])
        assert slowdown <= MAX_SLOWDOWN, ask.__name__


async def test_blame_reads_as_few_events_of_a_long_stream_as_of_a_short_one(
    database_url: str, store: EventStore, users: UserService, reads: list[int]
) -> None:
    (long,) = await record_histories(database_url, store.keys, VERSIONS)
    await make_snapshots(store.log, long)
    del reads[:]
    found = msgspec.to_builtins(await blame(users, store.audit, long, opened=True))
    assert sum(reads) <= SNAPSHOT_EVERY + 1 + len(SET_LAST)
    last_of_type = {type(event_at(n, long)).topic: n for n in range(1, VERSIONS + 1)}
    assert {name: found[name]["version"] for name in SET_LAST} == {
        name: last_of_type[topic] for name, topic in SET_LAST.items()
    }
    assert {key: each["version"] for key, each in found["attributes"].items()} == {
        "team": 1,
        "floor": last_of_type["user.attributes_changed"],
    }
    assert found["attributes"]["floor"]["value"] == last_of_type["user.attributes_changed"]


async def test_an_erased_user_of_a_long_stream_is_known_by_one_row(
    database_url: str, store: EventStore, users: UserService, reads: list[int]
) -> None:
    (long,) = await record_histories(database_url, store.keys, VERSIONS)
    await make_snapshots(store.log, long)
    await users.execute(long, EraseUser(), CONTEXT)
    del reads[:]
    for version in (None, 1, VERSIONS):
        with pytest.raises(UserGone):
            await users.user_at(long, version=version)
    for command in (rename(1), RestoreUser()):
        with pytest.raises(UserGone):
            await users.execute(long, command, CONTEXT)
    for command in (DeleteUser(), EraseUser()):
        await users.execute(long, command, CONTEXT)
    assert reads == [1] * 7


async def test_a_long_stream_reads_the_same_without_snapshots_and_makes_them_again(
    database_url: str,
    store: EventStore,
    users: UserService,
    admin: psycopg.AsyncConnection[Any],
) -> None:
    (long,) = await record_histories(database_url, store.keys, VERSIONS)
    await make_snapshots(store.log, long)
    asked = [1, 2, *Random(2).sample(range(3, VERSIONS), 10), VERSIONS]
    before = [await users.user_at(long, version=version) for version in asked]
    await admin.execute("TRUNCATE snapshots")
    assert [await user_at_with_retries(users, long, version) for version in asked] == before
    stored = await _stored_versions(admin)
    gaps = [later - earlier for earlier, later in pairwise([0, *stored])]
    assert max(gaps) <= 1024
    await users.execute(long, rename(1), CONTEXT)
    # A command stores one as soon as it folds this many events.
    newest = (await _stored_versions(admin))[-1]
    assert VERSIONS + 1 - SNAPSHOT_EVERY < newest <= VERSIONS + 1


async def _stored_versions(admin: psycopg.AsyncConnection[Any]) -> list[int]:
    found = await admin.execute("SELECT version FROM snapshots ORDER BY version")
    return [version for (version,) in await found.fetchall()]
