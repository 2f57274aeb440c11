"""Retries of long queues: each hold of the checkpoint costs the same, whatever is parked."""

from collections.abc import AsyncGenerator
from typing import Any, Final
from uuid import UUID

import psycopg
import pytest

from application.projector.retry import PIECE_EVENTS
from projections.registry import PROJECTIONS
from tests.integration.views.test_generations import registered
from tests.support.log.long_queues import UNKNOWN, make_known, queue_events
from tests.support.views.directory import execute
from tests.support.views.rebuilding import Rebuilder

LONG: Final = 3 * PIECE_EVENTS


class Holds:
    """The statements of each transaction that locks a checkpoint."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.lengths: list[int] = []
        open_ones: dict[int, list[str]] = {}
        execute_one = psycopg.AsyncConnection[Any].execute

        async def counting(connection: Any, query: Any, *rest: Any, **options: Any) -> Any:
            text = query.decode() if isinstance(query, bytes) else str(query)
            if text == "BEGIN":
                open_ones[id(connection)] = []
            statements = open_ones.get(id(connection), [])
            statements.append(text)
            if text == "COMMIT":
                if any("FOR UPDATE" in each and "checkpoints" in each for each in statements):
                    self.lengths.append(len(statements))
                open_ones.pop(id(connection), None)
            return await execute_one(connection, query, *rest, **options)

        monkeypatch.setattr(psycopg.AsyncConnection, "execute", counting)


@pytest.fixture
async def rebuilder(database_url: str) -> AsyncGenerator[Rebuilder]:
    async with Rebuilder.open(database_url, PROJECTIONS) as rebuilder:
        async with rebuilder.projecting():
            yield rebuilder


async def queued(rebuilder: Rebuilder, events: int) -> UUID:
    """A user with so many events behind one of an unknown type."""
    stream = await rebuilder.read_side.record(registered())
    await queue_events(rebuilder.url, stream, events)
    await rebuilder.caught_up()
    return stream


async def test_a_hold_of_the_checkpoint_does_not_grow_with_the_queue(
    rebuilder: Rebuilder, monkeypatch: pytest.MonkeyPatch
) -> None:
    most: dict[int, int] = {}
    for events in (20, LONG):
        stream = await queued(rebuilder, events)
        [parked] = (await rebuilder.admin.parked("users", 0, 10)).items
        assert (parked.stream, parked.version, parked.events) == (stream, 2, events + 1)
        await make_known(rebuilder.url)
        with monkeypatch.context() as patch:
            holds = Holds(patch)
            result = await rebuilder.admin.retry("users", stream)
        assert (result.applied, result.parked) == (events + 1, None)
        most[events] = max(holds.lengths)
        # The first event alone, and then pieces.
        assert len(holds.lengths) == 1 + -(-events // PIECE_EVENTS)
    assert most[LONG] == most[20] <= 12
    await rebuilder.admin.retry("headcount", stream)
    version = "SELECT version FROM users_g1 WHERE id = %s"
    assert await execute(rebuilder.url, version, stream) == [(LONG + 2,)]


async def test_a_parked_stream_is_one_row_however_many_events_wait(rebuilder: Rebuilder) -> None:
    stream = await queued(rebuilder, LONG)
    row = "SELECT stream, version, last_version, error FROM parked WHERE projection = 'users'"
    assert await execute(rebuilder.url, row) == [(stream, 2, LONG + 2, f"UnknownTopic: {UNKNOWN}")]


async def test_a_retry_that_stops_later_waits_there_with_the_reason(rebuilder: Rebuilder) -> None:
    """The reason is at the first event only, and an interrupted retry goes on by itself."""
    stream = await queued(rebuilder, LONG)
    late = PIECE_EVENTS + 7
    await execute(
        rebuilder.url,
        "UPDATE stored_events SET topic = 'user.unheard_of' WHERE originator_version = %s",
        late,
    )
    await make_known(rebuilder.url)
    result = await rebuilder.admin.retry("users", stream)
    assert result.parked is not None
    assert (result.applied, result.parked.version) == (late - 2, late)
    [parked] = (await rebuilder.admin.parked("users", 0, 10)).items
    assert (parked.version, parked.error, parked.type) == (
        late,
        "UnknownTopic: user.unheard_of",
        "user.unheard_of",
    )
    assert parked.events == LONG + 2 - late + 1
    retried = "SELECT retry_at IS NOT NULL FROM parked WHERE projection = 'users'"
    assert await execute(rebuilder.url, retried) == [(True,)]
