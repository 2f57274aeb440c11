"""The port to the log in the order of streams, for rebuilds and verifications."""

import asyncio
from collections.abc import AsyncGenerator, Collection, Sequence
from typing import Final, Protocol
from uuid import UUID

from msgspec import Struct

from domain.event import Event, Recorded


class Place(Struct, frozen=True):
    """After this version of this stream, in the order of streams and then of versions."""

    stream: UUID
    version: int = 2**63 - 1


BEGINNING: Final = Place(UUID(int=0), 0)


class EventsByStream(Protocol):
    """Commit order is position order, so the events up to a position never become more.

    Each method raises `Unavailable`.
    """

    async def about_how_many(self, up_to: int) -> int:
        """About how many events of all kinds there are up to a position; exact where they are few."""
        ...

    async def read(
        self, kinds: Collection[str], after: Place, up_to: int, limit: int
    ) -> Sequence[Recorded[Event]]:
        """Up to `limit` events of these kinds after a place, none above position `up_to`.

        Fewer only at the end. An event that cannot be read is `Unreadable`.
        """
        ...


async def streams_in_order(
    events_by_stream: EventsByStream, kinds: Collection[str], after: Place, up_to: int, limit: int
) -> AsyncGenerator[Sequence[Recorded[Event]]]:
    """The events of these kinds after a place, up to a position, in pages; reads a page ahead.

    Close the generator if it is not exhausted. Raises `Unavailable`.
    """
    reading = asyncio.create_task(events_by_stream.read(kinds, after, up_to, limit))
    try:
        while events := await reading:
            after = Place(events[-1].stream, events[-1].version)
            reading = asyncio.create_task(events_by_stream.read(kinds, after, up_to, limit))
            yield events
    finally:
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)


async def rest_of_stream(
    events_by_stream: EventsByStream, kinds: Collection[str], after: Place, up_to: int, limit: int
) -> AsyncGenerator[Sequence[Recorded[Event]]]:
    """The events of one stream after a place, in pages. Raises `Unavailable`."""
    while True:
        page = await events_by_stream.read(kinds, after, up_to, limit)
        mine = [recorded for recorded in page if recorded.stream == after.stream]
        if mine:
            yield mine
        if len(mine) < limit:
            return
        after = Place(after.stream, mine[-1].version)
