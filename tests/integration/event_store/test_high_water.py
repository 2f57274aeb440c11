"""A log that goes back behind its high-water mark was restored: no position is given out twice."""

import asyncio
from typing import Any
from uuid import UUID

import psycopg
import pytest

from application.errors import OutcomeUnknown, PositionGone
from application.log.high_water import CombinedMarks, Marks
from infrastructure.event_store.opening import reopen_log
from infrastructure.event_store.watch import watch_log
from infrastructure.keys import MasterKeys
from infrastructure.migrations.upgrade import DIRECTORY
from interfaces.composition.event_store import EventStore, open_event_store
from tests.integration.event_store.test_restored_log import LEAP, breaks, run
from tests.support.doubles.high_water import MemoryHighWaterMarks
from tests.support.log.drafts import registration
from tests.support.servers.postgres import drop_database, with_database
from tests.support.servers.postgres_backends import append_lock, terminate_writers
from tests.support.servers.restores import copied, put_back

# What `pg_restore --data-only` or a wrong hand does to the log of running processes.
CUT = """
DELETE FROM stored_events WHERE notification_id > 1;
SELECT setval('stored_events_notification_id_seq', 1)"""


@pytest.fixture
def masters(master_keys: str) -> MasterKeys:
    return MasterKeys.parse(master_keys)


@pytest.fixture
def marks() -> MemoryHighWaterMarks:
    return MemoryHighWaterMarks()


async def append(
    url: str, masters: MasterKeys, marks: MemoryHighWaterMarks | CombinedMarks, count: int
) -> list[int]:
    async with open_event_store(url, masters, marks=marks) as store:
        return await appended(store, count)


async def appended(store: EventStore, count: int) -> list[int]:
    return [(await store.log.append(registration())).position for _ in range(count)]


async def rows(url: str, query: str) -> list[Any]:
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        return await (await connection.execute(query.encode())).fetchall()


async def test_a_copy_of_before_the_last_commands_begins_a_new_epoch(
    database_url: str, masters: MasterKeys, marks: MemoryHighWaterMarks
) -> None:
    await append(database_url, masters, marks, 3)
    copy = await copied(database_url)
    lost = await append(database_url, masters, marks, 2)
    assert lost == [4, 5]
    await put_back(copy, database_url, in_place=True)
    async with open_event_store(database_url, masters, marks=marks) as store:
        assert store.identity.epoch == 2
        assert await appended(store, 2) == [LEAP, LEAP + 1]
        for gone in (4, 5, LEAP - 2):
            with pytest.raises(PositionGone) as refused:
                await store.feed.read(gone, 10)
            assert refused.value.resume_after == 3
        for kept, following in (
            (3, [LEAP, LEAP + 1]),
            (LEAP - 1, [LEAP, LEAP + 1]),
            (LEAP, [LEAP + 1]),
        ):
            page = await store.feed.read(kept, 10)
            assert [recorded.position for recorded in page.events] == following
    assert await breaks(database_url) == [(2, 3, LEAP)]
    assert await append(database_url, masters, marks, 1) == [LEAP + 2]


async def test_a_copy_of_the_present_and_a_lost_mark_begin_no_new_epoch(
    database_url: str, masters: MasterKeys, marks: MemoryHighWaterMarks
) -> None:
    await append(database_url, masters, marks, 3)
    copy = await copied(database_url)
    await put_back(copy, database_url, in_place=True)
    assert await append(database_url, masters, marks, 1) == [4]
    marks.logs.clear()
    assert await append(database_url, masters, marks, 1) == [5]
    marks.away = True
    assert await append(database_url, masters, CombinedMarks(marks), 1) == [6]
    marks.away = False
    assert await append(database_url, masters, marks, 1) == [7]
    assert await breaks(database_url) == []


async def test_the_same_copy_put_back_twice_uses_no_position_and_no_epoch_twice(
    database_url: str, masters: MasterKeys, marks: MemoryHighWaterMarks
) -> None:
    await append(database_url, masters, marks, 3)
    first, second = await copied(database_url), await copied(database_url)
    await put_back(first, database_url)
    assert await append(database_url, masters, marks, 2) == [LEAP, LEAP + 1]
    await put_back(second, database_url, in_place=True)
    assert await append(database_url, masters, marks, 1) == [2 * LEAP]
    assert await breaks(database_url) == [(3, 3, 2 * LEAP)]


async def test_a_copy_from_an_ended_epoch_is_noticed_even_if_it_lacks_no_event_of_it(
    database_url: str, masters: MasterKeys, marks: MemoryHighWaterMarks
) -> None:
    await append(database_url, masters, marks, 3)
    copy = await copied(database_url)
    await reopen_log(database_url, marks, beyond=0)
    assert await append(database_url, masters, marks, 1) == [LEAP]
    await put_back(copy, database_url, in_place=True)
    assert await append(database_url, masters, marks, 1) == [2 * LEAP]


async def test_only_one_of_many_processes_that_see_the_break_records_it(
    database_url: str, masters: MasterKeys, marks: MemoryHighWaterMarks
) -> None:
    await append(database_url, masters, marks, 3)
    await run(database_url, CUT)
    positions = await asyncio.gather(*(append(database_url, masters, marks, 1) for _ in range(6)))
    assert sorted(position for (position,) in positions) == [*range(LEAP, LEAP + 6)]
    assert await breaks(database_url) == [(2, 1, LEAP)]


async def test_a_command_that_was_not_recorded_does_not_raise_the_mark(
    database_url: str, masters: MasterKeys, marks: MemoryHighWaterMarks
) -> None:
    async with open_event_store(database_url, masters, marks=marks) as store:
        await appended(store, 1)
        async with append_lock(database_url):
            sent = asyncio.create_task(store.log.append(registration()))
            await asyncio.wait([sent])
        assert isinstance(sent.exception(), OutcomeUnknown)
    (known,) = marks.logs.values()
    head = (await rows(database_url, "SELECT max(notification_id) FROM stored_events"))[0][0]
    assert max(known.values()) <= head
    assert await append(database_url, masters, marks, 1) == [head + 1]
    assert await breaks(database_url) == []


class SlowMarks(MemoryHighWaterMarks):
    """Each mark takes `seconds` to write."""

    seconds = 0.2

    async def raise_to(self, log_id: UUID, marks: Marks) -> None:
        await asyncio.sleep(self.seconds)
        await super().raise_to(log_id, marks)


async def test_only_the_first_command_of_a_connection_waits_for_the_mark(
    database_url: str, masters: MasterKeys
) -> None:
    marks = SlowMarks()
    async with open_event_store(database_url, masters, marks=marks) as store:
        for position in (1, 4):
            assert await appended(store, 1) == [position]
            (known,) = marks.logs[store.identity.id].values()
            assert known == position
            marks.seconds = 60
            async with asyncio.timeout(20):
                await appended(store, 2)
            marks.seconds = 0.2
            await terminate_writers(database_url)


async def test_a_running_process_writes_a_lost_mark_again(
    database_url: str, masters: MasterKeys, marks: MemoryHighWaterMarks
) -> None:
    async with open_event_store(database_url, masters, marks=marks) as store:
        await appended(store, 3)
        await asyncio.sleep(0.3)
        known = dict(marks.logs)
        marks.logs.clear()
        watching = asyncio.create_task(watch_log(store.database, store.high_water, every=0.05))
        await asyncio.sleep(0.3)
        watching.cancel()
        assert marks.logs == known
        assert [*known[store.identity.id].values()] == [3]


async def test_the_watch_also_marks_what_other_writers_record(
    database_url: str, masters: MasterKeys, marks: MemoryHighWaterMarks
) -> None:
    async with open_event_store(database_url, masters, marks=marks) as store:
        assert await append(database_url, masters, CombinedMarks(), 2) == [1, 2]
        watching = asyncio.create_task(watch_log(store.database, store.high_water, every=0.05))
        await asyncio.sleep(0.3)
        watching.cancel()
        assert [*marks.logs[store.identity.id].values()] == [2]


async def test_a_log_of_before_the_migration_begins_no_new_epoch(
    database_url: str, masters: MasterKeys
) -> None:
    await append(database_url, masters, CombinedMarks(), 1)
    await run(database_url, "ALTER TABLE log DROP COLUMN database_oid, DROP COLUMN table_oid")
    await run(database_url, (DIRECTORY / "sql/0013_log_place.sql").read_text())
    assert await append(database_url, masters, CombinedMarks(), 1) == [2]
    assert await breaks(database_url) == []


async def test_a_copy_and_its_original_with_the_same_marks_do_not_break_each_other_for_ever(
    database_url: str, masters: MasterKeys, marks: MemoryHighWaterMarks
) -> None:
    await append(database_url, masters, marks, 3)
    copy = await copied(database_url)
    try:
        used = set[int]()
        for _ in range(3):
            for url in (copy, database_url):
                positions = await append(url, masters, marks, 1)
                assert used.isdisjoint(positions)
                used.update(positions)
        assert [len(await breaks(url)) for url in (copy, database_url)] == [1, 1]
    finally:
        drop_database(with_database(database_url, "postgres"), copy)


async def test_a_break_by_hand_goes_beyond_the_position_that_is_named(
    database_url: str, masters: MasterKeys, marks: MemoryHighWaterMarks
) -> None:
    await append(database_url, masters, marks, 3)
    identity = await reopen_log(database_url, marks, beyond=5 * LEAP + 7)
    assert identity is not None
    assert identity.epoch == 2
    assert await append(database_url, masters, marks, 1) == [6 * LEAP]
    assert await breaks(database_url) == [(2, 3, 6 * LEAP)]
