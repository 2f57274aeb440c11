"""Administration of projections: list, retry and skip parked streams; pause and resume."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Final, Protocol
from uuid import UUID

from msgspec import Struct

from application.log.by_stream import EventsByStream
from application.projector.parked import ParkedStreams, RemovedSkips, RetryResult
from application.projector.refold import unskip
from application.projector.retry import retry, skip

MAX_COUNTED: Final = 10_000
"""Parked streams are counted up to this number, so that a count never takes long."""


class ParkedStream(Struct, frozen=True, kw_only=True):
    """A parked stream: its first parked event, and the number of its parked events (`events`)."""

    stream: UUID
    version: int
    position: int
    event_id: UUID
    type: str | None
    error: str
    parked_at: datetime
    events: int


class ParkedPage(Struct, frozen=True):
    """Parked streams by the position of their first parked event; the next page is after `next`."""

    items: Sequence[ParkedStream]
    next: int | None


class ProjectionAdminStore(Protocol):
    """Parked streams and pauses of projections. Each method raises `Unavailable`."""

    async def parked(self, projection: str, after: int, limit: int) -> ParkedPage:
        """The parked streams of the serving generation, after a position."""
        ...

    async def parked_counts(self) -> Mapping[str, int]:
        """The number of parked streams in the serving generation, for each projection with any.

        Counted up to `MAX_COUNTED`.
        """
        ...

    async def pause(self, projection: str, reason: str | None, actor: str | None) -> None:
        """Stop following the log for this projection until it is resumed."""
        ...

    async def resume(self, projection: str) -> None:
        """Follow the log again, from the checkpoint."""
        ...


class PreviousGenerations(Protocol):
    """The serving generation, and the one before it while that is kept."""

    async def serving(self, projection: str) -> int:
        """The serving generation. Raises `Unavailable`."""
        ...

    async def previous(self, projection: str) -> int | None:
        """The generation that served before it; None if it is not kept. Raises `Unavailable`."""
        ...


class ProjectionAdmin:
    """Each method takes the name of a projection that is among `names`."""

    def __init__(
        self,
        names: Collection[str],
        store: ProjectionAdminStore,
        parked_streams: ParkedStreams,
        removed_skips: RemovedSkips,
        events_by_stream: EventsByStream,
        previous_generations: PreviousGenerations,
    ) -> None:
        self.names = names
        self.previous_generations = previous_generations
        self._store = store
        self._parked_streams = parked_streams
        self._removed_skips = removed_skips
        self._events_by_stream = events_by_stream

    async def parked(self, projection: str, after: int, limit: int) -> ParkedPage:
        return await self._store.parked(projection, after, limit)

    async def parked_counts(self) -> Mapping[str, int]:
        return await self._store.parked_counts()

    async def retry(self, projection: str, stream: UUID) -> RetryResult:
        """Retry a parked stream. Raises `NothingParked` and `Unavailable`."""
        return await retry(projection, stream, self._parked_streams, self._events_by_stream)

    async def skip(
        self, projection: str, stream: UUID, version: int, reason: str, actor: str
    ) -> RetryResult:
        """Skip the first parked event of a stream permanently, and retry the rest.

        Raises `NothingParked`, `AnotherEventFirst` and `Unavailable`.
        """
        return await skip(
            projection, stream, version, reason, actor, self._parked_streams, self._events_by_stream
        )

    async def unskip(self, projection: str, stream: UUID, version: int, actor: str) -> RetryResult:
        """Skip an event no more, and fold its stream again. Raises `NotSkipped`, `Unavailable`."""
        return await unskip(
            projection,
            stream,
            version,
            actor,
            self._removed_skips,
            self._parked_streams,
            self._events_by_stream,
        )

    async def pause(self, projection: str, reason: str | None, actor: str) -> None:
        """See `ProjectionAdminStore.pause`; takes effect within a second."""
        await self._store.pause(projection, reason, actor)

    async def resume(self, projection: str) -> None:
        await self._store.resume(projection)
