"""Generations: builds of a projection's views beside each other, all followed, one of them serving."""

import asyncio
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Final, Generic, NoReturn, Protocol
from uuid import UUID

from msgspec import Struct
from structlog import get_logger

from application.doorbell import GENERATIONS, Doorbell
from application.projector.view_store import Changes, Skipped, Slot
from application.retry import BackOff
from projections.projection import Projection, V

# What a missed wake-up costs at most.
_POLL_SECONDS: Final = 1.0
_DROP_SECONDS: Final = 20.0

log = get_logger(__name__)


class RebuildUnderWay(Exception):
    """Another process builds a generation of this projection."""


class BuildLost(Exception):
    """The generation that was built here was taken over or dropped by another process."""


class FollowedSlots(Protocol):
    """Which slots are to be kept up to date."""

    async def followed(self) -> Collection[Slot[Any]]:
        """Those of all generations that are filled, without paused projections.

        Raises `Unavailable`.
        """
        ...


async def keep_following(
    name: str,
    slots: FollowedSlots,
    doorbell: Doorbell,
    follow: Callable[[Slot[Any]], Coroutine[Any, Any, None]],
) -> NoReturn:
    """Run `follow` for each slot as long as it is to be followed; cancel it to stop."""
    back_off = BackOff(name)
    running: dict[Slot[Any], asyncio.Task[None]] = {}
    async with asyncio.TaskGroup() as group, doorbell.listen(GENERATIONS) as bell:
        while True:
            try:
                wanted = await slots.followed()
            except Exception as error:
                # What was followed before goes on.
                await back_off.wait(error)
                continue
            back_off.reset()
            for slot in running.keys() - set(wanted):
                log.info("slot_let_go", follower=name, slot=str(slot))
                running.pop(slot).cancel()
            for slot in set(wanted) - running.keys():
                log.info("slot_followed", follower=name, slot=str(slot))
                running[slot] = group.create_task(follow(slot))
            await bell.wait(_POLL_SECONDS)


class RetiredGenerations(Protocol):
    async def drop_due(self) -> Sequence[str]:
        """Drop what nobody needs any more; what was dropped. Raises `Unavailable`."""
        ...


async def keep_dropping(retired: RetiredGenerations) -> NoReturn:
    """Drop generations when their time has come; cancel it to stop.

    One process that does so is enough; more of them do no harm.
    """
    back_off = BackOff("retired generations")
    while True:
        try:
            for dropped in await retired.drop_due():
                log.info("generation_dropped", generation=dropped)
        except Exception as error:
            await back_off.wait(error)
        else:
            back_off.reset()
            await asyncio.sleep(_DROP_SECONDS)


class Filling(Struct, Generic[V], frozen=True, kw_only=True):
    """How far a build is: all streams up to `after` are in, `events` events of the log up to `up_to`.

    `skipped` is known since it was opened. Once it is `followed` it is filled, and left to the
    projectors.
    """

    slots: Sequence[Slot[V]]
    up_to: int
    after: UUID | None = None
    events: int = 0
    skipped: Skipped = frozenset()
    followed: bool = False


class Batch(Struct, Generic[V], frozen=True, kw_only=True):
    """Whole streams, one after another up to `after`; `events` counts from the beginning."""

    changes: Mapping[Slot[V], Changes[V]]
    after: UUID
    events: int


class Build(Protocol[V]):
    """A generation that is being filled. Each method raises `BuildLost` and `Unavailable`."""

    @property
    def filling(self) -> Filling[V]:
        """As it is recorded: whoever goes on after a crash begins there."""
        ...

    async def store(self, batch: Batch[V]) -> None:
        """Store all of a batch and record that it is in. Raises `Unstorable`: nothing of it is."""
        ...

    async def index(self) -> None:
        """Make what readers and projectors need beside the rows."""
        ...

    async def follow(self) -> None:
        """Leave it to the projectors."""
        ...


class Comparison(Struct, frozen=True, kw_only=True):
    """What two generations show, at positions between which `skipped` streams changed.

    `differing` counts the streams whose views differ, `streams` has the first of them. The
    counters that differ are told only where both were at one position.
    """

    before: int
    after: int
    differing: int
    streams: Sequence[UUID]
    moving: int
    counters: Sequence[str] | None


class Switch(Protocol):
    """The generation that serves, and the one that is to take its place.

    Each method raises `BuildLost` where that is no longer so, and `Unavailable`.
    """

    @property
    def replaced(self) -> int:
        """The generation that serves."""
        ...

    async def gap(self) -> int:
        """How many positions the new one is behind; 0 and below: it may take its place."""
        ...

    async def compare(self) -> Comparison:
        """Both, in one snapshot."""
        ...

    async def switch(self, result: Mapping[str, Any] | None, *, with_parked: bool = False) -> None:
        """Let the new one serve, and record what came of the rebuild; readers see no gap.

        The position that serves does not go back. Raises `StreamsParked` where the new one has
        parked streams that are not accepted, and `Unavailable` where it is behind.
        """
        ...


class StreamsParked(Exception):
    """The new generation could not apply all events; `streams` counts theirs."""

    def __init__(self, streams: int) -> None:
        self.streams = streams
        super().__init__(f"streams parked: {streams}")


class Builds(Protocol):
    """Where generations are built."""

    def open(self, projection: Projection[V], by: str) -> AbstractAsyncContextManager[Build[V]]:
        """The build that was begun with the same code and did not serve yet, else a new one.

        Nobody else builds in this context. Raises `RebuildUnderWay`, where somebody does for more
        than some seconds, and `Unavailable`.
        """
        ...

    async def abandon(self, projection: Projection[V]) -> None:
        """Have dropped what was built and did not serve; soon, by whoever keeps house.

        Raises `Unavailable`.
        """
        ...

    async def finished(self, projection: Projection[V], by: str) -> Mapping[str, Any] | None:
        """What came of the rebuild that was asked by `by`, if it serves. Raises `Unavailable`."""
        ...
