"""Projections without parked events and previous generations, for tests without a server."""

from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

from application.log.by_stream import Place
from application.projector.admin import ParkedPage, ProjectionAdmin
from application.projector.parked import LockedStream
from application.projector.stored_views import StoredView
from application.projector.view_store import Slot
from domain.event import Event, Recorded


def empty_projection_admin(*names: str) -> ProjectionAdmin:
    empty = _Empty()
    return ProjectionAdmin(names, empty, empty, empty, empty, empty)


class _Empty:
    """See `ProjectionAdminStore`, `ParkedStreams`, `RemovedSkips`, `EventsByStream` and `PreviousGenerations`."""

    async def parked(self, projection: str, after: int, limit: int) -> ParkedPage:
        return ParkedPage([], None)

    async def parked_counts(self) -> Mapping[str, int]:
        return {}

    async def pause(self, projection: str, reason: str | None, actor: str | None) -> None:
        return

    async def resume(self, projection: str) -> None:
        return

    async def slots(self, projection: str) -> Sequence[Slot[Any]]:
        return ()

    async def streams(self, slot: Slot[Any], after: UUID | None, limit: int) -> Sequence[UUID]:
        return ()

    async def remove(self, projection: str, stream: UUID, version: int, actor: str) -> bool:
        return False

    async def removed(self, slot: Slot[Any]) -> Sequence[UUID]:
        return ()

    @asynccontextmanager
    async def lock(self, slot: Slot[Any], stream: UUID) -> AsyncGenerator[LockedStream[Any]]:
        raise NotImplementedError
        yield

    async def head(self) -> int:
        return 0

    async def about_how_many(self, up_to: int) -> int:
        return 0

    async def read(
        self, kinds: Collection[str], after: Place, up_to: int, limit: int
    ) -> Sequence[Recorded[Event]]:
        return ()

    async def serving(self, projection: str) -> int:
        return 1

    async def previous(self, projection: str) -> int | None:
        return None


class NoStoredViews:
    """See `StoredViews`."""

    async def views(self, projection: str, stream: UUID) -> Sequence[StoredView]:
        return ()
