"""The tail: all cursors share one read of the log, in limited memory and without erased data."""

import asyncio

import pytest

from application.errors import PositionAhead, PositionGone
from domain.user.events import PreviousName, UserErased, UserRenamed
from tests.support.log.tailing import (
    FILTERS,
    PAYLOADS,
    STREAMS,
    Log,
    data,
    let_tail_read,
    positions,
    read_up_to,
    recorded,
)


async def test_events_in_the_ring_are_not_read_again() -> None:
    log = Log()
    log.grow(3)
    async with log.cursor(None) as first, log.cursor(None) as second:
        await let_tail_read()
        log.grow(5)
        await let_tail_read()
        reads = log.feed.reads
        assert positions(await first.next(1)) == positions(await second.next(1)) == [4, 5, 6, 7, 8]
        assert log.feed.reads == reads


async def test_a_cursor_near_the_edge_of_the_ring_misses_nothing() -> None:
    log = Log(max_events=2)
    async with log.cursor(None):
        await let_tail_read()
        log.append(*(recorded(position) for position in (2, 4, 6, 8, 10)))
        await let_tail_read()
        for after in range(11):
            async with log.cursor(after) as cursor:
                expected = [position for position in (2, 4, 6, 8, 10) if position > after]
                assert await read_up_to(cursor, 10) == expected


async def test_without_cursors_nothing_is_read_or_held() -> None:
    log = Log()
    async with log.cursor(None):
        await let_tail_read()
    reads = log.feed.reads
    log.grow(5)
    await let_tail_read()
    assert log.feed.reads == reads
    async with log.cursor(2) as cursor:
        assert await read_up_to(cursor, 5) == [3, 4, 5]


async def test_an_event_whose_bell_was_lost_is_found_by_the_poll() -> None:
    log = Log()
    async with log.cursor(None) as cursor:
        await let_tail_read()
        log.feed.events.append(recorded(1))
        assert positions(await cursor.next(3)) == [1]


async def test_a_cursor_at_the_head_waits_until_its_timeout() -> None:
    log = Log()
    async with log.cursor(None) as cursor, asyncio.timeout(1):
        assert positions(await cursor.next(0.05)) == []


async def test_an_empty_batch_comes_when_nothing_matches_and_gives_the_position() -> None:
    log = Log()
    async with log.cursor(None, FILTERS[3]) as cursor:
        batches = cursor.batches(0.05)
        log.grow(4)
        first = await anext(batches)
        assert (first.events, first.position, first.head) == ((), 4, 4)
        log.feed.is_unavailable = True
        log.grow(1)
        assert (await anext(batches)).position == 4
        log.feed.is_unavailable = False
        async with asyncio.timeout(5):
            while (await anext(batches)).position < 5:
                pass
        await batches.aclose()


async def test_a_cursor_far_behind_continues_when_the_store_is_back() -> None:
    log = Log(max_events=2)
    log.grow(20)
    async with log.cursor(0) as cursor:
        batches = cursor.batches(0.05)
        log.feed.is_unavailable = True
        assert positions(await anext(batches)) == []
        log.feed.is_unavailable = False
        seen: list[int] = []
        async with asyncio.timeout(5):
            while len(seen) < 20:
                seen += positions(await anext(batches))
        assert seen == list(range(1, 21))
        await batches.aclose()


async def test_a_batch_is_limited_in_events_and_in_bytes() -> None:
    log = Log()
    big = UserRenamed(name="x" * 100_000, previous=PreviousName("y" * 100_000))
    log.append(recorded(1), recorded(2, big), recorded(3, big), recorded(4))
    async with log.cursor(0) as cursor:
        assert positions(await cursor.next(1)) == [1, 2]
        assert positions(await cursor.next(1)) == [3, 4]
        log.grow(1000)
        await let_tail_read()
        assert len((await cursor.next(1)).events) <= 256


async def test_the_ring_is_limited_in_bytes() -> None:
    log = Log(max_bytes=1_000_000)
    async with log.cursor(None) as cursor:
        await let_tail_read()
        big = UserRenamed(name="x" * 100_000, previous=PreviousName(""))
        log.append(*(recorded(position, big) for position in range(1, 11)))
        await let_tail_read()
        ring = log.tail.ring_at(10)
        assert ring is not None
        assert len(ring.after(ring.start)) == 3
        assert await read_up_to(cursor, 10) == list(range(1, 11))


async def test_an_erasure_removes_the_person_from_the_ring() -> None:
    log = Log()
    async with log.cursor(None) as cursor:
        await let_tail_read()
        others = recorded(2, stream=STREAMS[1])
        log.append(recorded(1), others, recorded(3, PAYLOADS[1]))
        batch = await cursor.next(1)
        assert data(batch.events[0])["data"]["name"] == "Ada"
        log.append(recorded(4, UserErased()))
        await cursor.next(1)
        for event in (batch.events[0], batch.events[2]):
            assert data(event)["personal"] == data(event, opened=False)["personal"] == "erased"
            assert "Ada" not in str(event.recorded)
        assert data(batch.events[1])["data"]["name"] == "Ada"


async def test_an_event_has_an_open_and_a_sealed_envelope() -> None:
    log = Log()
    log.append(recorded(1))
    async with log.cursor(0) as cursor:
        (event,) = (await cursor.next(1)).events
        assert data(event)["data"]["name"] == "Ada"
        assert data(event, opened=False)["data"]["name"] is None
        assert event.envelope(opened=True) is event.envelope(opened=True)


async def test_the_stop_ends_every_wait() -> None:
    log = Log()
    async with log.cursor(None) as cursor, asyncio.timeout(1):
        waiting = asyncio.create_task(cursor.next(60))
        following = asyncio.create_task(anext(cursor.batches(60), None))
        await let_tail_read()
        log.stopping.set()
        assert positions(await waiting) == []
        assert await following is None


async def test_a_cursor_begins_only_at_a_position_that_the_log_has() -> None:
    log = Log()
    log.grow(5)
    log.feed.gone = range(7, 999)
    assert await log.tail.place(None) == (5, 5)
    assert await log.tail.place(3) == (3, 5)
    assert await log.tail.place(5) == (5, 5)
    with pytest.raises(PositionAhead):
        await log.tail.place(6)
    with pytest.raises(PositionGone):
        await log.tail.place(7)
    log.append(recorded(1000))
    with pytest.raises(PositionGone):
        await log.tail.place(7)
