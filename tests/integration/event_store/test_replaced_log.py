"""A log that is replaced under running processes: they append nothing to it, and record the break."""

import asyncio

import pytest

from application.errors import OutcomeUnknown, Unavailable
from application.log.high_water import CombinedMarks
from infrastructure.event_store.opening import RestoreUnfinished
from infrastructure.event_store.watch import LogMoved, watch_log
from infrastructure.keys import MasterKeys
from interfaces.composition.event_store import EventStore, open_event_store
from tests.integration.event_store.test_high_water import CUT, append, appended, rows
from tests.integration.event_store.test_restored_log import LEAP, breaks, run
from tests.support.log.drafts import registration
from tests.support.servers.restores import copied, put_back


@pytest.fixture
def masters(master_keys: str) -> MasterKeys:
    return MasterKeys.parse(master_keys)


async def is_refused(store: EventStore) -> None:
    """The command is refused, and nothing of it is recorded."""
    before = await rows(store.database.url, "SELECT count(*) FROM stored_events")
    # The outcome is unknown if the append was on its way when its session ended.
    with pytest.raises((Unavailable, OutcomeUnknown)):
        await store.log.append(registration())
    assert await rows(store.database.url, "SELECT count(*) FROM stored_events") == before


async def test_a_running_process_does_not_append_to_a_log_that_was_cut_under_it(
    database_url: str, masters: MasterKeys
) -> None:
    async with open_event_store(database_url, masters) as store:
        await appended(store, 3)
        # The session of the writer stays.
        await run(database_url, CUT)
        await is_refused(store)
        with pytest.raises(LogMoved):
            await watch_log(store.database, store.high_water, every=0.05)
    # No mark was kept: the process that noticed it has recorded the break.
    assert await append(database_url, masters, CombinedMarks(), 1) == [LEAP]
    assert await breaks(database_url) == [(2, 1, LEAP)]


async def test_a_running_process_does_not_append_to_another_table(
    database_url: str, masters: MasterKeys
) -> None:
    async with open_event_store(database_url, masters) as store:
        await appended(store, 3)
        await run(
            database_url,
            """
            ALTER TABLE stored_events RENAME TO lost_events;
            CREATE TABLE stored_events (LIKE lost_events INCLUDING ALL);
            INSERT INTO stored_events SELECT * FROM lost_events""",
        )
        await is_refused(store)
        with pytest.raises(LogMoved):
            await watch_log(store.database, store.high_water, every=0.05)
    assert await append(database_url, masters, CombinedMarks(), 1) == [LEAP]


@pytest.mark.parametrize("in_place", [False, pytest.param(True, marks=pytest.mark.long)])
async def test_a_running_process_notices_a_database_that_was_replaced(
    database_url: str, masters: MasterKeys, in_place: bool
) -> None:
    async with open_event_store(database_url, masters) as store:
        await appended(store, 3)
        copy = await copied(database_url)
        assert await appended(store, 1) == [4]
        await put_back(copy, database_url, in_place=in_place)
        await is_refused(store)
        with pytest.raises(LogMoved):
            await watch_log(store.database, store.high_water, every=0.05)
    assert await append(database_url, masters, CombinedMarks(), 1) == [LEAP]
    assert await breaks(database_url) == [(2, 3, LEAP)]


async def test_the_watch_waits_until_a_restore_has_finished(
    database_url: str, masters: MasterKeys
) -> None:
    async with open_event_store(database_url, masters) as store:
        await appended(store, 1)
        await run(database_url, "ALTER TABLE log RENAME TO away")
        watching = asyncio.create_task(watch_log(store.database, store.high_water, every=0.05))
        await asyncio.sleep(0.3)
        await run(database_url, "ALTER TABLE away RENAME TO log")
        await run(database_url, "ALTER INDEX stored_events_position RENAME TO away")
        await asyncio.sleep(0.3)
        assert not watching.done()
        await run(database_url, "ALTER INDEX away RENAME TO stored_events_position")
        await asyncio.sleep(0.3)
        assert not watching.done()
        watching.cancel()
        assert await appended(store, 1) == [2]


@pytest.mark.parametrize("index", ["stored_events_position", "log_pkey"])
async def test_a_database_that_is_being_restored_is_not_opened(
    database_url: str, masters: MasterKeys, index: str
) -> None:
    await run(database_url, f"ALTER INDEX {index} RENAME TO away")
    with pytest.raises(RestoreUnfinished):
        await append(database_url, masters, CombinedMarks(), 0)
    assert await rows(database_url, "SELECT id FROM log") == []
    await run(database_url, f"ALTER INDEX away RENAME TO {index}")
    assert await append(database_url, masters, CombinedMarks(), 1) == [1]
