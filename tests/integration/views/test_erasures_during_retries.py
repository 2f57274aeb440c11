"""An erasure between the read of a retry and its lock: nothing that was read before is folded."""

from collections.abc import AsyncGenerator, Collection, Sequence
from uuid import UUID

import pytest

from application.log.by_stream import EventsByStream, Place
from application.projector.refold import unskip
from application.projector.retry import retry
from domain.event import Event, Recorded
from domain.user.events import UserErased
from projections.registry import PROJECTIONS
from tests.integration.views.test_generations import append, registered, renamed
from tests.support.views.directory import execute
from tests.support.views.rebuilding import Rebuilder
from tests.support.views.registrations import NEWCOMERS, refused_names


class ErasedAfterRead:
    """Reads the log; after the first read of a piece, the person is erased."""

    def __init__(self, rebuilder: Rebuilder) -> None:
        self._rebuilder = rebuilder
        self._reader: EventsByStream = rebuilder.ports.events_by_stream
        self.is_erased = False

    async def about_how_many(self, up_to: int) -> int:
        return await self._reader.about_how_many(up_to)

    async def read(
        self, kinds: Collection[str], after: Place, up_to: int, limit: int
    ) -> Sequence[Recorded[Event]]:
        events = await self._reader.read(kinds, after, up_to, limit)
        if limit > 2 and not self.is_erased:
            self.is_erased = True
            await append(self._rebuilder, after.stream, UserErased(), 3)
            await self._rebuilder.caught_up("newcomers")
        return events


@pytest.fixture
async def rebuilder(database_url: str) -> AsyncGenerator[Rebuilder]:
    async with Rebuilder.open(database_url, [*PROJECTIONS, NEWCOMERS]) as rebuilder:
        async with rebuilder.projecting():
            yield rebuilder
    refused_names.clear()
    refused_names.add("bad")


async def parked(rebuilder: Rebuilder) -> UUID:
    stream = await rebuilder.read_side.record(registered("ok"))
    await renamed(rebuilder, stream, "bad")
    await renamed(rebuilder, stream, "her new name", after=2)
    await rebuilder.caught_up("newcomers")
    return stream


async def assert_erased(rebuilder: Rebuilder, stream: UUID) -> None:
    rows = await execute(rebuilder.url, "SELECT * FROM newcomers_g1 WHERE id = %s", stream)
    assert "her new name" not in str(rows)
    assert await execute(rebuilder.url, "SELECT * FROM parked") == []
    assert await rebuilder.differences() == []


async def test_a_retry_brings_nothing_of_an_erased_person_back(rebuilder: Rebuilder) -> None:
    stream, log = await parked(rebuilder), ErasedAfterRead(rebuilder)
    refused_names.clear()
    result = await retry("newcomers", stream, rebuilder.ports.parked_streams, log)
    assert log.is_erased
    assert (result.applied, result.parked) == (3, None)
    await assert_erased(rebuilder, stream)


async def test_a_skip_that_is_taken_back_brings_nothing_back(rebuilder: Rebuilder) -> None:
    stream, log = await parked(rebuilder), ErasedAfterRead(rebuilder)
    await rebuilder.admin.skip("newcomers", stream, 2, "a typo", "token:a")
    refused_names.clear()
    ports = rebuilder.ports
    result = await unskip(
        "newcomers", stream, 2, "token:b", ports.removed_skips, ports.parked_streams, log
    )
    assert log.is_erased
    assert (result.applied, result.parked) == (4, None)
    await assert_erased(rebuilder, stream)
