"""The contract of every relay ledger: one relay leads, and its checkpoint moves with its records."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

import pytest
from msgspec import Struct
from uuid_utils.compat import uuid7

from application.log.follower import NotLeading
from application.messaging.rejected import RelayRecords
from application.messaging.relay import RelayLedger, SetAside
from infrastructure.database import Database
from infrastructure.relay.ledger import PostgresRelayLedger
from infrastructure.relay.records import PostgresRelayRecords
from tests.support.doubles.relay_ledger import MemoryRelayLedger


class LedgerUnderTest(Struct, frozen=True):
    """`move` moves the checkpoint behind the leader's back."""

    ledger: RelayLedger
    records: RelayRecords
    move: Callable[[int], Awaitable[None]]


@pytest.fixture(params=["memory", "postgres"])
def url(request: pytest.FixtureRequest) -> str | None:
    return request.getfixturevalue("database_url") if request.param == "postgres" else None


@pytest.fixture
async def under_test(url: str | None) -> AsyncGenerator[LedgerUnderTest]:
    if url is None:
        yield _in_memory()
        return
    async with Database.open(url) as database:
        yield _in_postgres(database)


def _in_memory() -> LedgerUnderTest:
    ledger = MemoryRelayLedger()

    async def move(position: int) -> None:
        ledger.position = position

    return LedgerUnderTest(ledger, ledger, move)


def _in_postgres(database: Database) -> LedgerUnderTest:
    async def execute(statement: bytes, *parameters: Any) -> list[Any]:
        async with database.connection(5) as connection:
            cursor = await connection.execute(statement, parameters)
            return await cursor.fetchall() if cursor.description else []

    async def move(position: int) -> None:
        await execute(b"UPDATE checkpoints SET position = %s", position)

    return LedgerUnderTest(PostgresRelayLedger(database), PostgresRelayRecords(database), move)


async def set_aside(records: RelayRecords, after: int = 0, limit: int = 100) -> list[SetAside]:
    """The stored events, without the time at which they were set aside."""
    return [
        SetAside(**{name: getattr(each, name) for name in SetAside.__struct_fields__})
        for each in await records.rejected(after, limit)
    ]


def refused(position: int) -> SetAside:
    return SetAside(
        position=position, event_id=uuid7(), type="user.renamed", stream=uuid7(), error="refused"
    )


async def test_a_new_relay_begins_at_the_start_of_the_log(under_test: LedgerUnderTest) -> None:
    async with under_test.ledger.lead() as progress:
        assert progress.position == 0


async def test_the_next_leader_continues_at_the_checkpoint(
    under_test: LedgerUnderTest,
) -> None:
    async with under_test.ledger.lead() as progress:
        await progress.advance(500, [])
        await progress.advance(10**13, [])
        assert progress.position == 10**13
    async with under_test.ledger.lead() as progress:
        assert progress.position == 10**13


async def test_events_set_aside_are_stored_with_the_checkpoint(under_test: LedgerUnderTest) -> None:
    expected = [refused(3), refused(8)]
    async with under_test.ledger.lead() as progress:
        await progress.advance(10, expected)
        await progress.advance(20, [])
    assert await set_aside(under_test.records) == expected


async def test_a_leader_whose_checkpoint_was_moved_writes_nothing(
    under_test: LedgerUnderTest,
) -> None:
    async with under_test.ledger.lead() as progress:
        await progress.advance(10, [])
        await under_test.move(40)
        with pytest.raises(NotLeading):
            await progress.advance(20, [refused(12)])
    assert await set_aside(under_test.records) == []
    async with under_test.ledger.lead() as progress:
        assert progress.position == 40


async def test_only_one_relay_leads_at_a_time(under_test: LedgerUnderTest) -> None:
    async def lead() -> int:
        async with under_test.ledger.lead() as progress:
            return progress.position

    async with under_test.ledger.lead() as progress:
        waiting = asyncio.create_task(lead())
        await asyncio.sleep(1)
        assert not waiting.done()
        await progress.advance(10, [])
    assert await asyncio.wait_for(waiting, 5) == 10


async def test_records_are_read_in_pages_and_removed(under_test: LedgerUnderTest) -> None:
    events = [refused(position) for position in (3, 8, 10**13)]
    async with under_test.ledger.lead() as progress:
        await progress.advance(10**13, events)
    assert await set_aside(under_test.records, limit=2) == events[:2]
    assert await set_aside(under_test.records, after=8) == events[2:]
    await under_test.records.remove([8, 9])
    assert await set_aside(under_test.records) == [events[0], events[2]]
    await under_test.records.remove([])
    assert len(await set_aside(under_test.records)) == 2


async def test_the_status_says_whether_a_relay_leads_and_counts_what_was_set_aside(
    under_test: LedgerUnderTest,
) -> None:
    status = await under_test.records.status()
    assert (status.position, status.rejected, status.state) == (0, 0, "stopped")
    assert status.last_rejected_at is None
    async with under_test.ledger.lead() as progress:
        await progress.advance(10, [refused(3), refused(8)])
        status = await under_test.records.status()
        assert (status.position, status.rejected, status.state) == (10, 2, "live")
        assert status.last_rejected_at is not None
    # The server ends the session, and its locks, a moment after the client has closed it.
    async with asyncio.timeout(5):
        while (await under_test.records.status()).state != "stopped":
            await asyncio.sleep(0.02)
