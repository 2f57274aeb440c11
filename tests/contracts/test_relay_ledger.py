"""The contract of every relay ledger: one relay leads, and its checkpoint moves with its records."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

import pytest
from msgspec import Struct
from uuid_utils.compat import uuid7

from application.log.follower import NotLeading
from application.messaging.relay import RelayLedger, SetAside
from infrastructure.database import Database
from infrastructure.relay.ledger import PostgresRelayLedger
from tests.support.doubles.relay_ledger import MemoryRelayLedger


class LedgerUnderTest(Struct, frozen=True):
    """`set_aside` reads the stored events; `move` moves the checkpoint behind the leader's back."""

    ledger: RelayLedger
    set_aside: Callable[[], Awaitable[list[SetAside]]]
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

    async def set_aside() -> list[SetAside]:
        return ledger.set_aside

    async def move(position: int) -> None:
        ledger.position = position

    return LedgerUnderTest(ledger, set_aside, move)


def _in_postgres(database: Database) -> LedgerUnderTest:
    async def execute(statement: bytes, *parameters: Any) -> list[Any]:
        async with database.connection(5) as connection:
            cursor = await connection.execute(statement, parameters)
            return await cursor.fetchall() if cursor.description else []

    async def set_aside() -> list[SetAside]:
        rows = await execute(
            b"SELECT position, event_id, topic, stream, error FROM relay_rejected ORDER BY 1"
        )
        return [
            SetAside(position=row[0], event_id=row[1], type=row[2], stream=row[3], error=row[4])
            for row in rows
        ]

    async def move(position: int) -> None:
        await execute(b"UPDATE checkpoints SET position = %s", position)

    return LedgerUnderTest(PostgresRelayLedger(database), set_aside, move)


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
    assert await under_test.set_aside() == expected


async def test_a_leader_whose_checkpoint_was_moved_writes_nothing(
    under_test: LedgerUnderTest,
) -> None:
    async with under_test.ledger.lead() as progress:
        await progress.advance(10, [])
        await under_test.move(40)
        with pytest.raises(NotLeading):
            await progress.advance(20, [refused(12)])
    assert await under_test.set_aside() == []
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
