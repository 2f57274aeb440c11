"""Keys are rotated while the log is in use: all open, the erased stay erased, no caller waits."""

import asyncio
import os
import sys
from asyncio.subprocess import create_subprocess_exec
from uuid import UUID

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from application.errors import Unavailable
from application.keys.ports import UnknownMasterKey
from application.keys.rotation import Rewrapped
from application.log.event_log import EventFeed
from domain.event import Event, Recorded
from infrastructure.keys import MasterKeys
from infrastructure.keys.store import master_ids, open_key_store
from interfaces.composition.event_store import open_event_store
from tests.support.jobs.rotating import (
    NEW,
    NEW_FIRST,
    NEW_ID,
    OLD,
    OLD_FIRST,
    OLD_ID,
    People,
    insert_keys,
    opened_keys,
    result,
    run_rotation,
)
from tests.support.log.drafts import registration
from tests.support.servers.postgres import scaled
from tests.support.servers.postgres_backends import terminate_all
from tests.support.servers.rollbook import ROOT

WRITERS = 3


async def registered(url: str, masters: str, count: int) -> list[UUID]:
    """Register people with these master keys; their streams."""
    drafts = [registration() for _ in range(count)]
    async with open_event_store(url, MasterKeys.parse(masters)) as store:
        for first in range(0, count, 1000):
            some = drafts[first : first + 1000]
            await asyncio.gather(*(store.log.append(draft) for draft in some))
    return [draft.stream for draft in drafts]


async def all_events(feed: EventFeed) -> list[Recorded[Event]]:
    events: list[Recorded[Event]] = []
    while page := (await feed.read(events[-1].position if events else 0, 500)).events:
        events += page
    return events


async def test_every_key_is_rewrapped_while_writers_register_and_erase(database_url: str) -> None:
    known = await registered(database_url, OLD, scaled(1500))
    await registered(database_url, OLD_FIRST, 1)
    to_erase = known[::3]
    shares = [to_erase[number::WRITERS] for number in range(WRITERS)]
    newer = [await People.start(database_url, NEW_FIRST) for _ in range(WRITERS)]
    older = await People.start(database_url, OLD_FIRST)
    rotating = asyncio.create_task(run_rotation(database_url))
    for people, share in zip([*newer, older], [*shares, []], strict=True):
        people.begin(share)
    await asyncio.sleep(1)
    done = result(await rotating)
    reports = [await people.end() for people in (*newer, older)]

    assert done["complete"]
    assert done["rewrapped"] >= len(known) - len(to_erase)
    async with await psycopg.AsyncConnection.connect(database_url) as connection:
        assert await master_ids(connection) == {NEW_ID}
    newcomers = set[UUID]().union(*(registered for registered, _ in reports))
    erased = set[UUID]().union(*(erased for _, erased in reports))
    assert erased == set(to_erase)
    keys = await opened_keys(database_url, NEW)
    assert keys.keys() >= newcomers | set(known) - erased
    assert not keys.keys() & erased
    async with open_event_store(database_url, MasterKeys.parse(NEW)) as store:
        events = await all_events(store.feed)
    assert {event.stream for event in events if event.is_erased} == erased
    assert {event.stream for event in events} >= newcomers | set(known)


async def test_the_next_worker_finishes_the_rotation_of_a_killed_one(database_url: str) -> None:
    await registered(database_url, OLD, 1)
    keys = await insert_keys(database_url, 20_000)
    process = await create_subprocess_exec(
        *(sys.executable, "-P", "-m", "tests.support.processes.rotation", database_url),
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    try:
        async with open_key_store(database_url) as store, asyncio.timeout(30):
            while not (await store.counts()).get(NEW_ID):
                await asyncio.sleep(0.01)
    finally:
        process.kill()
        await process.wait()
    halfway = await opened_keys(database_url, NEW_FIRST)
    done = result(await run_rotation(database_url))
    assert 0 < done["rewrapped"] < len(keys)
    assert done["complete"]
    rewrapped = await opened_keys(database_url, NEW)
    assert rewrapped == halfway
    assert rewrapped.items() >= keys.items()


async def test_two_rotations_at_once_share_the_work(database_url: str) -> None:
    await registered(database_url, OLD, 1)
    keys = await insert_keys(database_url, 3000)
    first, second = await asyncio.gather(
        run_rotation(database_url),
        run_rotation(database_url),
    )
    assert result(first)["complete"]
    assert result(second)["complete"]
    assert result(first)["rewrapped"] + result(second)["rewrapped"] == len(keys) + 2
    assert (await opened_keys(database_url, NEW)).items() >= keys.items()


async def test_a_rotation_does_not_wait_for_a_key_that_is_being_destroyed(
    database_url: str,
) -> None:
    await registered(database_url, OLD, 1)
    keys = await insert_keys(database_url, 3)
    masters = MasterKeys.parse(NEW_FIRST)
    doomed = next(iter(keys))
    async with (
        await psycopg.AsyncConnection.connect(database_url) as erasing,
        open_key_store(database_url) as store,
    ):
        await store.make_current(NEW_ID)
        await erasing.execute("DELETE FROM subject_keys WHERE subject = %s", (doomed,))
        page = await store.wrapped([OLD_ID], after=UUID(int=0), limit=9)
        changes = [
            Rewrapped(each.subject, each.key, masters.rewrap(each.key, each.subject, NEW_ID))
            for each in page
        ]
        async with asyncio.timeout(2):
            assert await store.replace(changes) == len(changes) - 1
        await erasing.commit()
        assert await store.replace(changes) == 0
        assert OLD_ID not in await store.counts()
    assert doomed not in await opened_keys(database_url, NEW)


async def test_a_running_log_continues_while_its_keys_are_rotated(database_url: str) -> None:
    (person,) = await registered(database_url, OLD, 1)
    async with open_event_store(database_url, MasterKeys.parse(NEW_FIRST)) as store:
        before = (await store.log.load(person)).events
        claimed = store.keys.mac(b"a value")
        assert result(await run_rotation(database_url))["complete"]
        assert (await store.log.load(person)).events == before
        await store.log.append(registration())
    async with open_event_store(database_url, MasterKeys.parse(NEW)) as store:
        assert (await store.log.load(person)).events == before
        assert store.keys.mac(b"a value") == claimed


async def test_a_log_does_not_open_if_the_list_lacks_a_key_that_is_still_needed(
    database_url: str,
) -> None:
    await registered(database_url, OLD, 1)
    with pytest.raises(UnknownMasterKey, match=f"id {OLD_ID}"):
        async with open_event_store(database_url, MasterKeys.parse(NEW)):
            pass
    assert result(await run_rotation(database_url))["complete"]
    with pytest.raises(UnknownMasterKey, match=f"id {NEW_ID}"):
        async with open_event_store(database_url, MasterKeys.parse(OLD)):
            pass
    async with open_event_store(database_url, MasterKeys.parse(NEW)):
        pass


async def test_an_absent_database_is_reported_as_unavailable(database_url: str) -> None:
    nowhere = make_conninfo(database_url, port=1)
    with pytest.raises(Unavailable):
        async with open_key_store(nowhere):
            pass

    async def count_during_an_outage() -> None:
        async with open_key_store(database_url) as store:
            await terminate_all(database_url)
            await store.counts()

    with pytest.raises(Unavailable):
        await count_during_an_outage()
