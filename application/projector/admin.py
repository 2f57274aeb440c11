"""What administrators do for projections: look at what is parked, mend it, stop one and let it go on."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Protocol
from uuid import UUID

from msgspec import Struct

from application.log.by_stream import EventsByStream
from application.projector.parked import Mended, Mending, retry, skip


class ParkedStream(Struct, frozen=True, kw_only=True):
    """A stream that stands still for a projection: the event it stands at, and how many wait."""

    stream: UUID
    version: int
    position: int
    event_id: UUID
    type: str | None
    error: str
    parked_at: datetime
    events: int


class ParkedPage(Struct, frozen=True):
    """Parked streams in the order of their first parked events; `next` is where the page ended."""

    items: Sequence[ParkedStream]
    next: int | None


class ProjectionAdminStore(Protocol):
    """What is known of projections besides their views. Each raises `Unavailable`."""

    async def parked(self, projection: str, after: int, limit: int) -> ParkedPage:
        """What is parked in the generation that serves, after a position."""
        ...

    async def parked_streams(self) -> Mapping[str, int]:
        """How many streams are parked, of each projection that has any where it serves."""
        ...

    async def pause(self, projection: str, reason: str | None, actor: str | None) -> None:
        """Have nobody follow the log for this projection until it is resumed."""
        ...

    async def resume(self, projection: str) -> None:
        """Have it followed again from where it stands."""
        ...


class FormerGenerations(Protocol):
    """The generations that served before, as long as they are kept."""

    async def serving(self, projection: str) -> int:
        """The one that serves. Raises `Unavailable`."""
        ...

    async def former(self, projection: str) -> int | None:
        """The one that served last before it. Raises `Unavailable`."""
        ...


class ProjectionAdmin:
    """Each method takes the name of a projection that is among `names`."""

    def __init__(
        self,
        names: Collection[str],
        store: ProjectionAdminStore,
        mending: Mending,
        histories: EventsByStream,
        former: FormerGenerations,
    ) -> None:
        self.names = names
        self.former = former
        self._store = store
        self._mending = mending
        self._histories = histories

    async def parked(self, projection: str, after: int, limit: int) -> ParkedPage:
        """See `ProjectionAdminStore.parked`."""
        return await self._store.parked(projection, after, limit)

    async def parked_streams(self) -> Mapping[str, int]:
        """See `ProjectionAdminStore.parked_streams`."""
        return await self._store.parked_streams()

    async def retry(self, projection: str, stream: UUID) -> Mended:
        """Fold a parked stream on. Raises `NothingParked` and `Unavailable`."""
        return await retry(projection, stream, self._mending, self._histories)

    async def skip(
        self, projection: str, stream: UUID, version: int | None, reason: str, actor: str
    ) -> Mended:
        """Leave its first parked event out for good, and fold on.

        Raises `NothingParked`, `AnotherEventFirst` and `Unavailable`.
        """
        return await skip(
            projection, stream, version, reason, actor, self._mending, self._histories
        )

    async def pause(self, projection: str, reason: str | None, actor: str) -> None:
        """See `ProjectionAdminStore.pause`; it stands still within a second."""
        await self._store.pause(projection, reason, actor)

    async def resume(self, projection: str) -> None:
        """See `ProjectionAdminStore.resume`."""
        await self._store.resume(projection)
