"""The contract of every key store: the one on Postgres and its double in memory."""

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from uuid import UUID

import psycopg
import pytest
from msgspec import Struct
from uuid_utils.compat import uuid7

from application.keys.rotation import KeyStore, Rewrapped, WrappedKey
from application.log.event_log import StreamKey
from infrastructure.keys.store import open_key_store
from tests.support.doubles.keys import InMemoryKeyStore

OLD, NEW = "0ld00000", "4ew00000"
FIRST = UUID(int=0)
INDEX = uuid7()
"""The id of the log; older than all subjects but those of `FIRST`."""


class StoreUnderTest(Struct):
    """A store, and functions that change its keys behind its back."""

    store: KeyStore
    put: Callable[[WrappedKey], Awaitable[None]]
    destroy: Callable[[UUID], Awaitable[None]]


@pytest.fixture(params=["memory", "postgres"])
def url(request: pytest.FixtureRequest) -> str | None:
    return request.getfixturevalue("database_url") if request.param == "postgres" else None


@pytest.fixture
async def under_test(url: str | None) -> AsyncIterator[StoreUnderTest]:
    """A store that holds only the index key, under the old master key; the new one is current."""
    index = wrapped(INDEX)
    if url is None:
        store = InMemoryKeyStore({INDEX: index.key})
        store.current = NEW

        async def put(key: WrappedKey) -> None:
            store.keys[key.subject] = key.key

        async def destroy(subject: UUID) -> None:
            del store.keys[subject]

        yield StoreUnderTest(store, put, destroy)
        return

    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:

        async def insert(key: WrappedKey) -> None:
            await connection.execute(
                "INSERT INTO subject_keys VALUES ('main', %s, %s, %s) ON CONFLICT (subject, tenant)"
                "DO UPDATE SET master_id = excluded.master_id, wrapped = excluded.wrapped",
                (key.subject, key.key.master_id, key.key.wrapped),
            )

        async def delete(subject: UUID) -> None:
            await connection.execute("DELETE FROM subject_keys WHERE subject = %s", (subject,))

        await connection.execute(
            "INSERT INTO log"
            " (id, epoch, system_identifier, timeline, index_master_id, index_key, master_id)"
            "VALUES (%s, 1, 'a server', 1, %s, %s, %s)",
            (INDEX, index.key.master_id, index.key.wrapped, NEW),
        )
        async with open_key_store(url) as opened:
            yield StoreUnderTest(opened, insert, delete)


def wrapped(subject: UUID | None = None, master_id: str = OLD) -> WrappedKey:
    return WrappedKey(subject or uuid7(), StreamKey(master_id, os.urandom(60)))


def rewrapped(key: WrappedKey) -> Rewrapped:
    return Rewrapped(key.subject, key.key, wrapped(key.subject, NEW).key)


async def some(under_test: StoreUnderTest, count: int, master_id: str = OLD) -> list[WrappedKey]:
    keys = [wrapped(master_id=master_id) for _ in range(count)]
    for key in reversed(keys):
        await under_test.put(key)
    return keys


async def test_keys_and_the_index_key_are_counted_by_master_key(under_test: StoreUnderTest) -> None:
    await some(under_test, 3)
    await some(under_test, 2, NEW)
    assert await under_test.store.counts() == {OLD: 4, NEW: 2}


async def test_keys_come_in_pages_in_the_order_of_their_subjects(
    under_test: StoreUnderTest,
) -> None:
    keys = await some(under_test, 4)
    await some(under_test, 2, NEW)
    first = await under_test.store.wrapped([OLD], after=FIRST, limit=3)
    assert [key.subject for key in first] == [INDEX, keys[0].subject, keys[1].subject]
    assert await under_test.store.wrapped([OLD], after=first[-1].subject, limit=3) == keys[2:]
    assert await under_test.store.wrapped([OLD], after=keys[-1].subject, limit=3) == []


async def test_only_keys_under_the_given_master_keys_are_returned(
    under_test: StoreUnderTest,
) -> None:
    await some(under_test, 1, NEW)
    (third,) = await some(under_test, 1, "th1rd000")
    assert await under_test.store.wrapped(["th1rd000"], after=FIRST, limit=9) == [third]
    assert len(await under_test.store.wrapped([OLD, "th1rd000"], after=FIRST, limit=9)) == 2
    assert await under_test.store.wrapped(["another0"], after=FIRST, limit=9) == []


async def test_new_keys_replace_the_old_ones(under_test: StoreUnderTest) -> None:
    keys = await some(under_test, 3)
    changes = [rewrapped(key) for key in keys[:2]]
    assert await under_test.store.replace(changes) == 2
    assert await under_test.store.counts() == {OLD: 2, NEW: 2}
    found = await under_test.store.wrapped([NEW], after=FIRST, limit=9)
    assert found == [WrappedKey(change.subject, change.new) for change in changes]


async def test_the_index_key_is_replaced_like_any_other_key(under_test: StoreUnderTest) -> None:
    (index,) = await under_test.store.wrapped([OLD], after=FIRST, limit=9)
    change = rewrapped(index)
    assert await under_test.store.replace([change]) == 1
    found = await under_test.store.wrapped([NEW], after=FIRST, limit=9)
    assert found == [WrappedKey(INDEX, change.new)]


async def test_a_key_that_changed_meanwhile_is_not_replaced(under_test: StoreUnderTest) -> None:
    index, key, other = (
        await under_test.store.wrapped([OLD], after=FIRST, limit=1),
        *await some(under_test, 2),
    )
    changed = wrapped(key.subject, "th1rd000")
    await under_test.put(changed)
    stale = rewrapped(WrappedKey(INDEX, wrapped().key))
    assert await under_test.store.replace([rewrapped(key), stale, rewrapped(other)]) == 1
    assert await under_test.store.wrapped(["th1rd000"], after=FIRST, limit=9) == [changed]
    assert await under_test.store.wrapped([OLD], after=FIRST, limit=9) == index


async def test_a_key_that_was_destroyed_meanwhile_does_not_come_back(
    under_test: StoreUnderTest,
) -> None:
    key, other = await some(under_test, 2)
    await under_test.destroy(key.subject)
    assert await under_test.store.replace([rewrapped(key), rewrapped(other)]) == 1
    assert await under_test.store.counts() == {OLD: 1, NEW: 1}


async def test_keys_that_are_not_under_the_current_master_key_replace_none(
    under_test: StoreUnderTest,
) -> None:
    keys = await some(under_test, 2)
    changes = [rewrapped(key) for key in keys]
    await under_test.store.make_current("th1rd000")
    assert await under_test.store.replace(changes) == 0
    await under_test.store.make_current(NEW)
    assert await under_test.store.replace(changes) == 2


async def test_replacing_no_keys_does_nothing(under_test: StoreUnderTest) -> None:
    assert await under_test.store.replace([]) == 0
