"""The log stream by stream, for whoever folds all of it: each history is read whole, in one piece."""

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
    """Commit order is position order: what is read up to a position never becomes more.

    Each method raises `Unavailable`.
    """

    async def head(self) -> int:
        """The highest position in the log, 0 where it is empty."""
        ...

    async def count(self, up_to: int) -> int:
        """How many events there are up to a position, whatever their kind."""
        ...

    async def read(
        self, kinds: Collection[str], after: Place, up_to: int, limit: int
    ) -> Sequence[Recorded[Event]]:
        """Up to `limit` events of these kinds after a place, none above position `up_to`.

        Fewer only at the end. What cannot be read is `Unreadable`.
        """
        ...


async def streams_in_order(
    histories: EventsByStream, kinds: Collection[str], up_to: int, limit: int
) -> AsyncGenerator[Sequence[Recorded[Event]]]:
    """All events of these kinds up to a position in pages, stream by stream; the next is read ahead.

    Close it where it is not used up. Raises `Unavailable`.
    """
    reading = asyncio.create_task(_page(histories, kinds, BEGINNING, up_to, limit))
    try:
        while events := await reading:
            after = Place(events[-1].stream, events[-1].version)
            reading = asyncio.create_task(_page(histories, kinds, after, up_to, limit))
            yield events
    finally:
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)


async def rest_of_stream(
    histories: EventsByStream, kinds: Collection[str], after: Place, up_to: int, limit: int
) -> AsyncGenerator[Sequence[Recorded[Event]]]:
    """The events of one stream after a place, in pages. Raises `Unavailable`."""
    while True:
        page = await histories.read(kinds, after, up_to, limit)
        mine = [recorded for recorded in page if recorded.stream == after.stream]
        if mine:
            yield mine
        if len(mine) < limit:
            return
        after = Place(after.stream, mine[-1].version)


async def _page(
    histories: EventsByStream, kinds: Collection[str], after: Place, up_to: int, limit: int
) -> Sequence[Recorded[Event]]:
    return await histories.read(kinds, after, up_to, limit)
