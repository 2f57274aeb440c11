"""What every keeper of tickets promises: the one on Postgres and its double in memory."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from msgspec import Struct

from application.errors import Unavailable
from application.identity import PRESETS, Principal
from application.live.tickets import TICKET_SECONDS, Tickets
from infrastructure.identity.tickets import PostgresTickets
from tests.support.doubles.tickets import InMemoryTickets

READER = Principal(actor="token:reader", permissions=PRESETS["reader"])


class CachePut(Struct):
    """Tickets, and a way to let time pass."""

    tickets: Tickets
    age: Callable[[float], Awaitable[None]]


@pytest.fixture(params=["memory", "postgres"])
def url(request: pytest.FixtureRequest) -> str | None:
    return request.getfixturevalue("database_url") if request.param == "postgres" else None


@pytest.fixture
async def keeper(url: str | None) -> AsyncIterator[CachePut]:
    if url is None:
        passed = timedelta()

        async def age(seconds: float) -> None:
            nonlocal passed
            passed += timedelta(seconds=seconds)

        yield CachePut(InMemoryTickets(lambda: datetime.now(UTC) + passed), age)
        return

    async def age_rows(seconds: float) -> None:
        async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
            await connection.execute(
                "UPDATE tickets SET expires_at = expires_at - make_interval(secs => %s)", (seconds,)
            )

    async with PostgresTickets.open(url) as tickets:
        yield CachePut(tickets, age_rows)


async def test_a_ticket_stands_for_its_maker(keeper: CachePut) -> None:
    ticket = await keeper.tickets.issue(READER)
    assert await keeper.tickets.redeem(ticket.ticket) == READER


async def test_a_ticket_is_good_for_thirty_seconds(keeper: CachePut) -> None:
    first, second = await keeper.tickets.issue(READER), await keeper.tickets.issue(READER)
    left = first.expires_at - datetime.now(UTC)
    assert TICKET_SECONDS - 2 < left.total_seconds() < TICKET_SECONDS + 2
    await keeper.age(TICKET_SECONDS - 2)
    assert await keeper.tickets.redeem(first.ticket) == READER
    await keeper.age(3)
    assert await keeper.tickets.redeem(second.ticket) is None


async def test_a_ticket_is_good_once_however_many_try(keeper: CachePut) -> None:
    ticket = (await keeper.tickets.issue(READER)).ticket
    tries = await asyncio.gather(*(keeper.tickets.redeem(ticket) for _ in range(10)))
    assert [who for who in tries if who is not None] == [READER]


async def test_what_nobody_issued_is_nobodys(keeper: CachePut) -> None:
    await keeper.tickets.issue(READER)
    for ticket in ("", "none", "\0", "ÿ", "x" * 10_000):
        assert await keeper.tickets.redeem(ticket) is None


async def test_no_two_tickets_are_the_same(keeper: CachePut) -> None:
    issued = [(await keeper.tickets.issue(READER)).ticket for _ in range(5)]
    assert len(set(issued)) == 5
    assert issued[0] not in repr(await keeper.tickets.issue(READER))


async def test_old_tickets_go_and_no_ticket_is_kept_in_the_clear(database_url: str) -> None:
    async with PostgresTickets.open(database_url) as tickets:
        issued = [await tickets.issue(READER) for _ in range(3)]
        async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as other:
            rows = await (await other.execute("SELECT tickets::text FROM tickets")).fetchall()
            assert not any(ticket.ticket in str(rows) for ticket in issued)
            await other.execute("UPDATE tickets SET expires_at = now() - interval '1 second'")
            await tickets.issue(READER)
            left = await (await other.execute("SELECT count(*) FROM tickets")).fetchone()
            assert left == (1,)


async def test_a_connection_that_the_server_closed_costs_no_ticket(database_url: str) -> None:
    async with PostgresTickets.open(database_url) as tickets:
        ticket = await tickets.issue(READER)
        async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as other:
            await other.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE application_name = 'rollbook tickets' AND datname = current_database()"
            )
        assert await tickets.redeem(ticket.ticket) == READER


async def test_a_server_that_is_away_is_unavailable() -> None:
    async with PostgresTickets.open("postgresql://127.0.0.1:1/none") as tickets:
        with pytest.raises(Unavailable):
            await tickets.redeem("any")
