"""The job `key-rotation` over keys in memory that other processes change meanwhile."""

import asyncio
import base64
import os
from collections.abc import AsyncGenerator, Callable, Collection, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Final
from uuid import UUID

from uuid_utils.compat import uuid7

from application.jobs.model import Job
from application.keys.rotation import (
    BATCH_KEYS,
    KEY_ROTATION,
    KeyStore,
    Rewrapped,
    WrappedKey,
    key_rotation,
)
from application.log.event_log import StreamKey
from infrastructure.keys import MasterKeys
from tests.support.doubles.jobs import InMemoryJobs
from tests.support.doubles.keys import InMemoryKeyStore

Keys = dict[UUID, bytes]

A, B, C = (base64.b64encode(bytes([number]) * 32).decode() for number in range(3))
OLD: Final = MasterKeys.parse(A)
BOTH: Final = MasterKeys.parse(f"{B},{A}")
OTHER: Final = MasterKeys.parse(C)


def store_of(count: int, masters: MasterKeys = OLD) -> tuple[InMemoryKeyStore, Keys]:
    """`count` keys wrapped by the newest of these master keys, and the plain keys."""
    keys = {uuid7(): os.urandom(32) for _ in range(count)}
    wrapped = {subject: masters.wrap(key, subject) for subject, key in keys.items()}
    return InMemoryKeyStore(wrapped), keys


def opened(store: InMemoryKeyStore, masters: MasterKeys) -> Keys:
    return {subject: masters.unwrap(key, subject) for subject, key in store.keys.items()}


def opening(store: KeyStore) -> Callable[[], AbstractAsyncContextManager[KeyStore]]:
    @asynccontextmanager
    async def open_store() -> AsyncGenerator[KeyStore]:
        yield store

    return open_store


async def rotated(store: KeyStore, *, masters: MasterKeys = BOTH, **arguments: str) -> Job:
    """Runs the job and returns it when it has ended."""
    kind = key_rotation(opening(store), masters, pause=0.0)
    jobs = InMemoryJobs(uuid7, kind)
    job = await jobs.submit(KEY_ROTATION, arguments, actor="test")
    await jobs.run_queued()
    ended = await jobs.job(job.id)
    assert ended is not None
    return ended


def result(job: Job) -> dict[str, Any]:
    assert job.state == "succeeded", job.error
    assert job.result is not None
    return job.result


async def test_every_key_is_rewrapped_by_the_newest_master_key_and_stays_the_same() -> None:
    store, keys = store_of(2 * BATCH_KEYS + 1)
    job = await rotated(store)
    assert result(job) == {
        "to": BOTH.newest,
        "rewrapped": len(keys),
        "remaining": 0,
        "complete": True,
    }
    assert (job.progress.done, job.progress.total) == (len(keys), len(keys))
    assert await store.counts() == {BOTH.newest: len(keys)}
    assert opened(store, MasterKeys.parse(B)) == keys


async def test_a_second_rotation_finds_nothing_to_do_and_changes_nothing() -> None:
    store, _ = store_of(3)
    await rotated(store)
    before = dict(store.keys)
    again = result(await rotated(store))
    assert (again["rewrapped"], again["complete"]) == (0, True)
    assert store.keys == before


async def test_a_log_without_keys_is_rotated_at_once() -> None:
    assert result(await rotated(InMemoryKeyStore({})))["complete"]


async def test_the_job_names_the_target_key_whatever_key_the_worker_lists_first() -> None:
    store, keys = store_of(2)
    worker = MasterKeys.parse(f"{A},{B}")
    done = result(await rotated(store, masters=worker, to=BOTH.newest))
    assert (done["to"], done["complete"]) == (BOTH.newest, True)
    assert opened(store, MasterKeys.parse(B)) == keys


async def test_a_worker_that_does_not_list_the_key_fails_and_names_it() -> None:
    store, keys = store_of(2)
    job = await rotated(store, masters=OLD, to=BOTH.newest)
    assert (job.state, job.attempts) == ("failed", 1)
    assert job.error is not None
    assert f"does not list the key {BOTH.newest}: start it" in job.error
    assert opened(store, OLD) == keys


async def test_keys_under_an_unlisted_master_key_are_reported_with_their_number() -> None:
    store, _ = store_of(2)
    others, _ = store_of(3, OTHER)
    store.keys |= others.keys
    before = dict(store.keys)
    job = await rotated(store)
    assert job.state == "failed"
    assert job.error is not None
    assert f"does not list the key {OTHER.newest}, which 3 keys cannot be opened" in job.error
    assert store.keys == before


class Unrotated(InMemoryKeyStore):
    """Another process adds a key under the old master key while it is the current one."""

    async def make_current(self, master_id: str) -> None:
        subject = UUID(int=1)
        self.keys[subject] = OLD.wrap(bytes(32), subject)
        await super().make_current(master_id)


async def test_a_key_that_was_added_just_before_the_change_is_rewrapped() -> None:
    keys, plain = store_of(2)
    store = Unrotated(keys.keys)
    done = result(await rotated(store))
    assert (done["complete"], done["rewrapped"]) == (True, 3)
    assert opened(store, MasterKeys.parse(B)) == plain | {UUID(int=1): bytes(32)}


async def test_the_new_key_becomes_the_current_one_only_if_the_worker_has_all_keys() -> None:
    store, _ = store_of(2)
    store.current = OLD.newest
    await rotated(store, masters=OLD, to=BOTH.newest)
    others, _ = store_of(1, OTHER)
    store.keys |= others.keys
    await rotated(store)
    assert store.current == OLD.newest


class Locked(InMemoryKeyStore):
    """One key is locked by another session."""

    async def replace(self, keys: Sequence[Rewrapped]) -> int:
        return await super().replace(keys[1:])


async def test_a_key_that_stays_locked_leaves_the_rotation_incomplete() -> None:
    keys, _ = store_of(3)
    done = result(await rotated(Locked(keys.keys)))
    assert (done["complete"], done["rewrapped"], done["remaining"]) == (False, 2, 1)


class Erasing(InMemoryKeyStore):
    """Erases one person after each page that is read."""

    def __init__(self, keys: dict[UUID, StreamKey]) -> None:
        super().__init__(keys)
        self.erased: set[UUID] = set()

    async def wrapped(
        self, by: Collection[str], *, after: UUID, limit: int
    ) -> Sequence[WrappedKey]:
        page = await super().wrapped(by, after=after, limit=limit)
        if page and len(self.erased) < 3:
            self.erased.add(page[0].subject)
            del self.keys[page[0].subject]
        return page


async def test_a_person_erased_between_reading_and_writing_stays_erased() -> None:
    keys, _ = store_of(3 * BATCH_KEYS)
    store = Erasing(keys.keys)
    done = result(await rotated(store))
    assert done["complete"]
    assert len(store.erased) == 3
    assert not store.erased & store.keys.keys()
    assert {key.master_id for key in store.keys.values()} == {BOTH.newest}
    assert len(store.keys) == 3 * BATCH_KEYS - 3


async def test_a_damaged_key_is_left_and_reported_after_all_others_are_done() -> None:
    store, _ = store_of(3)
    damaged = next(iter(store.keys))
    store.keys[damaged] = StreamKey(OLD.newest, b"damaged")
    job = await rotated(store)
    assert job.state == "failed"
    assert job.error is not None
    assert job.error.startswith("1 key cannot be opened with the master key")
    assert await store.counts() == {OLD.newest: 1, BOTH.newest: 2}
    assert store.keys[damaged] == StreamKey(OLD.newest, b"damaged")


class InterruptedStore(InMemoryKeyStore):
    """Fails once in the middle, like a worker that loses its database."""

    failed = False

    async def wrapped(
        self, by: Collection[str], *, after: UUID, limit: int
    ) -> Sequence[WrappedKey]:
        if after.int and not self.failed:
            self.failed = True
            raise ConnectionError
        return await super().wrapped(by, after=after, limit=limit)


async def test_an_interrupted_run_continues_with_the_remaining_keys() -> None:
    keys, plain = store_of(2 * BATCH_KEYS)
    store = InterruptedStore(keys.keys)
    job = await rotated(store)
    assert job.attempts == 2
    assert (result(job)["rewrapped"], result(job)["complete"]) == (BATCH_KEYS, True)
    assert opened(store, MasterKeys.parse(B)) == plain


async def test_a_rotation_can_be_cancelled_between_two_batches() -> None:
    keys, plain = store_of(3 * BATCH_KEYS)

    class Cancelling(InMemoryKeyStore):
        async def wrapped(
            self, by: Collection[str], *, after: UUID, limit: int
        ) -> Sequence[WrappedKey]:
            if after.int:
                await jobs.cancel(job.id)
                await asyncio.sleep(0.05)  # until the worker notices
            return await super().wrapped(by, after=after, limit=limit)

    store = Cancelling(keys.keys)
    jobs = InMemoryJobs(uuid7, key_rotation(opening(store), BOTH))
    job = await jobs.submit(KEY_ROTATION, {}, actor="test")
    await jobs.run_queued()
    ended = await jobs.job(job.id)
    assert ended is not None
    assert ended.state == "cancelled"
    assert await store.counts() == {BOTH.newest: 2 * BATCH_KEYS, OLD.newest: BATCH_KEYS}
    assert opened(store, BOTH) == plain
