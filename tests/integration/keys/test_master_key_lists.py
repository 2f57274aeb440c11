"""Processes whose lists of master keys differ, before, during and after a rotation."""

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID

import pytest
import structlog

from application.errors import MasterKeyMissing
from application.log.event_log import EventLog
from infrastructure.keys import MasterKeys
from infrastructure.keys.store import open_key_store
from interfaces.composition.event_store import EventStore, open_event_store
from tests.support.jobs.rotating import (
    NEW,
    NEW_FIRST,
    NEW_ID,
    OLD,
    OLD_FIRST,
    OLD_ID,
    insert_keys,
    result,
    run_rotation,
)
from tests.support.log.drafts import change, erasure, registration
from tests.support.views.directory import execute


@pytest.fixture
async def old_only(database_url: str) -> AsyncIterator[EventStore]:
    """A process that knows the old key only; it has created the log."""
    async with open_event_store(database_url, MasterKeys.parse(OLD)) as store:
        yield store


@pytest.fixture
async def both(database_url: str, old_only: EventStore) -> AsyncIterator[EventStore]:
    """A process that has got the new list."""
    async with open_event_store(database_url, MasterKeys.parse(NEW_FIRST)) as store:
        yield store


async def register(log: EventLog) -> UUID:
    draft = registration()
    await log.append(draft)
    return draft.stream


async def master_key_of(url: str, stream: UUID) -> str:
    rows = await execute(url, "SELECT master_id FROM subject_keys WHERE subject = %s", stream)
    return rows[0][0]


async def test_a_start_with_a_new_list_does_not_change_the_current_key(
    database_url: str, old_only: EventStore, both: EventStore
) -> None:
    for store in (old_only, both):
        assert await master_key_of(database_url, await register(store.log)) == OLD_ID
    async with open_key_store(database_url) as store:
        assert await store.current() == OLD_ID


async def test_a_running_process_wraps_under_the_new_key_once_the_rotation_has_begun(
    database_url: str, both: EventStore
) -> None:
    async with open_event_store(database_url, MasterKeys.parse(OLD_FIRST)) as old_first:
        async with open_key_store(database_url) as store:
            await store.make_current(NEW_ID)
        for each in (both, old_first):
            drafts = [registration() for _ in range(20)]
            await asyncio.gather(*map(each.log.append, drafts))
            used = {await master_key_of(database_url, draft.stream) for draft in drafts}
            assert used == {NEW_ID}
            person = drafts[0].stream
            assert not (await each.log.load(person)).events[0].is_erased


async def test_only_the_command_with_the_refused_key_is_held_up_in_its_batch(
    database_url: str, both: EventStore
) -> None:
    known = [await register(both.log) for _ in range(20)]
    batches = both.writer.batches
    async with open_key_store(database_url) as store:
        await store.make_current(NEW_ID)
    await asyncio.gather(
        *(both.log.append(change(person, 1)) for person in known), register(both.log)
    )
    assert both.writer.batches <= batches + 3
    rows = await execute(database_url, "SELECT count(*) FROM stored_events")
    assert rows == [(20 + 20 + 1,)]


async def test_a_process_without_the_current_key_refuses_new_people_and_serves_the_others(
    database_url: str, old_only: EventStore, both: EventStore
) -> None:
    known, other = await register(old_only.log), await register(old_only.log)
    async with open_key_store(database_url) as store:
        await store.make_current(NEW_ID)
    await both.log.append(registration())
    with structlog.testing.capture_logs() as logged:
        for _ in range(3):
            with pytest.raises(MasterKeyMissing):
                await old_only.log.append(registration())
    assert [(line["event"], line["id"]) for line in logged] == [("master_key_missing", NEW_ID)]
    with pytest.raises(MasterKeyMissing):
        await old_only.log.check_master_key()
    loaded = await old_only.log.load(known)
    await old_only.log.append(change(known, 1, sealed_with=loaded.key))
    await old_only.log.append(erasure(other, 1))

    # The operator goes back to the key that all processes have.
    assert result(await run_rotation(database_url, masters=OLD_FIRST))["complete"]
    await old_only.log.append(registration())
    await old_only.log.check_master_key()


async def test_a_rotation_is_complete_while_a_process_still_has_the_old_key_only(
    database_url: str, old_only: EventStore
) -> None:
    await insert_keys(database_url, 200)
    people = [await register(old_only.log) for _ in range(5)]
    stop = asyncio.Event()
    refused = 0

    async def keep_registering() -> None:
        nonlocal refused
        while not stop.is_set():
            try:
                people.append(await register(old_only.log))
            except MasterKeyMissing:
                refused += 1
                await asyncio.sleep(0.01)

    async with asyncio.TaskGroup() as group:
        for _ in range(4):
            group.create_task(keep_registering())
        await asyncio.sleep(0.2)
        assert result(await run_rotation(database_url))["complete"]
        await asyncio.sleep(0.2)
        stop.set()
    assert refused
    async with open_key_store(database_url) as store:
        assert (await store.counts()).keys() == {NEW_ID}
    with pytest.raises(MasterKeyMissing):
        await old_only.log.load(people[0])
    async with open_event_store(database_url, MasterKeys.parse(NEW)) as newest:
        for person in people:
            assert not (await newest.log.load(person)).events[0].is_erased


async def test_a_process_that_starts_without_the_current_key_begins_and_says_so(
    database_url: str, old_only: EventStore
) -> None:
    async with open_key_store(database_url) as store:
        await store.make_current(NEW_ID)
    async with open_event_store(database_url, MasterKeys.parse(OLD)) as started:
        with pytest.raises(MasterKeyMissing):
            await started.log.check_master_key()
        async with open_key_store(database_url) as store:
            await store.make_current(OLD_ID)
        await started.log.append(registration())
