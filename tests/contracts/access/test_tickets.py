"""The contract of every ticket store: the one on Postgres and its double in memory."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from msgspec import Struct

from application.errors import Unavailable
from application.identity import PRESETS, Principal
from application.live.tickets import TICKET_SECONDS, Tickets
from infrastructure.database import Database
from infrastructure.identity.tickets import PostgresTickets
from tests.support.doubles.tickets import InMemoryTickets

READER = Principal(actor="token:reader", permissions=PRESETS["reader"])


class TicketsUnderTest(Struct):
    """Tickets, and a function that moves their clock forward."""

    tickets: Tickets
    advance: Callable[[float], Awaitable[None]]


@pytest.fixture(params=["memory", "postgres"])
def url(request: pytest.FixtureRequest) -> str | None:
    return request.getfixturevalue("database_url") if request.param == "postgres" else None


@pytest.fixture
async def under_test(url: str | None) -> AsyncIterator[TicketsUnderTest]:
    if url is None:
        passed = timedelta()

        async def advance(seconds: float) -> None:
            nonlocal passed
            passed += timedelta(seconds=seconds)

        yield TicketsUnderTest(InMemoryTickets(lambda: datetime.now(UTC) + passed), advance)
        return

    async def advance_rows(seconds: float) -> None:
        async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
            await connection.execute(
                "UPDATE tickets SET expires_at = expires_at - make_interval(secs => %s)", (seconds,)
            )

    async with Database.open(url) as database:
        tickets = PostgresTickets(database)
        yield TicketsUnderTest(tickets, advance_rows)


async def test_a_ticket_gives_the_principal_that_requested_it(under_test: TicketsUnderTest) -> None:
    ticket = await under_test.tickets.issue(READER)
    assert await under_test.tickets.redeem(ticket.ticket) == READER


async def test_a_ticket_keeps_the_whole_caller(under_test: TicketsUnderTest) -> None:
    caller = Principal(
        actor="local:ada",
        permissions=PRESETS["auditor"],
        name="ada",
        kind="session",
        credential="session:00",
        parent="token:01",
        expires_at=datetime(2030, 1, 1, tzinfo=UTC),
    )
    ticket = await under_test.tickets.issue(caller)
    assert await under_test.tickets.redeem(ticket.ticket) == caller


async def test_a_ticket_is_valid_for_thirty_seconds(under_test: TicketsUnderTest) -> None:
    first, second = await under_test.tickets.issue(READER), await under_test.tickets.issue(READER)
    left = first.expires_at - datetime.now(UTC)
    assert TICKET_SECONDS - 2 < left.total_seconds() < TICKET_SECONDS + 2
    await under_test.advance(TICKET_SECONDS - 2)
    assert await under_test.tickets.redeem(first.ticket) == READER
    await under_test.advance(3)
    assert await under_test.tickets.redeem(second.ticket) is None


async def test_only_one_of_many_concurrent_redeems_succeeds(under_test: TicketsUnderTest) -> None:
    ticket = (await under_test.tickets.issue(READER)).ticket
    redeemed = await asyncio.gather(*(under_test.tickets.redeem(ticket) for _ in range(10)))
    assert [found for found in redeemed if found is not None] == [READER]


async def test_an_unknown_ticket_is_refused(under_test: TicketsUnderTest) -> None:
    await under_test.tickets.issue(READER)
    for ticket in ("", "none", "\0", "ÿ", "x" * 10_000):
        assert await under_test.tickets.redeem(ticket) is None


async def test_no_two_tickets_are_the_same(under_test: TicketsUnderTest) -> None:
    issued = [(await under_test.tickets.issue(READER)).ticket for _ in range(5)]
    assert len(set(issued)) == 5
    assert issued[0] not in repr(await under_test.tickets.issue(READER))


async def test_expired_tickets_are_removed_and_no_ticket_is_stored_in_the_clear(
    database_url: str,
) -> None:
    async with Database.open(database_url) as database:
        tickets = PostgresTickets(database)
        issued = [await tickets.issue(READER) for _ in range(3)]
        async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as other:
            rows = await (await other.execute("SELECT tickets::text FROM tickets")).fetchall()
            assert not any(ticket.ticket in str(rows) for ticket in issued)
            await other.execute("UPDATE tickets SET expires_at = now() - interval '1 second'")
            await tickets.issue(READER)
            left = await (await other.execute("SELECT count(*) FROM tickets")).fetchone()
            assert left == (1,)


async def test_a_connection_closed_by_the_server_loses_no_ticket(database_url: str) -> None:
    async with Database.open(database_url) as database:
        tickets = PostgresTickets(database)
        ticket = await tickets.issue(READER)
        async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as other:
            await other.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
                "WHERE application_name = 'rollbook' AND datname = current_database()"
            )
        assert await tickets.redeem(ticket.ticket) == READER


async def test_a_server_that_cannot_be_reached_is_unavailable() -> None:
    async with Database.open("postgresql://127.0.0.1:1/none") as database:
        tickets = PostgresTickets(database)
        with pytest.raises(Unavailable):
            await tickets.redeem("any")
