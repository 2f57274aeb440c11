"""Rebuilds a projection beside itself: a new generation is filled, catches up, and takes its place."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, Final

import msgspec
from msgspec import Struct
from structlog import get_logger

from application.jobs.model import JobCancelled
from application.log.by_stream import EventsByStream
from application.projector.backfill import Report, backfill
from application.projector.generations import (
    Build,
    Builds,
    Comparison,
    Filling,
    StreamsParked,
    Switch,
)
from application.projector.parked import Mending, mend
from projections.projection import Projection, V

# Between two looks at how far the projectors have come.
_LOOK_SECONDS: Final = 0.2
# More than that are no exceptions: whoever wrote the fold should see some of them first.
_MAX_PARKED: Final = 1000

log = get_logger(__name__)

OpenSuccession = Callable[[Projection[Any], int], AbstractAsyncContextManager[Switch]]
"""The succession of a generation to the one that serves now."""


class Rebuilt(Struct, frozen=True, kw_only=True):
    """What came of a rebuild: `events` were read in `seconds`, indexes and all the rest included."""

    projection: str
    generation: int
    replaced: int
    events: int
    seconds: float
    compared: Comparison


Warm = Callable[[str, int, int], Awaitable[None]]
"""Prepares the readers of a projection for a generation in the place of another."""


async def _nobody(projection: str, old: int, new: int) -> None:
    """For who has no cache."""


class Rebuilding(Struct, frozen=True, kw_only=True):
    """The ports of a rebuild."""

    builds: Builds
    histories: EventsByStream
    mending: Mending
    succession: OpenSuccession
    warm: Warm = _nobody


async def rebuild(
    projection: Projection[Any], by: str, ports: Rebuilding, report: Report
) -> dict[str, Any]:
    """Build a new generation and let it serve: a `Rebuilt` as JSON has it.

    `by` names who asks: after a crash the same asker goes on where it was, and learns what came
    of a rebuild that was finished. A cancel by `report`, and `StreamsParked`, leave all as it was.
    Raises `RebuildUnderWay`, `BuildLost` and `Unavailable`, after which it may be asked again.
    """
    done = await ports.builds.finished(projection, by)
    if done is not None:
        return dict(done)
    began = time.monotonic()
    try:
        async with ports.builds.open(projection, by) as build:
            await prepare(build, ports, report)
            return await _succeed(build.filling, ports, report, began)
    except (JobCancelled, StreamsParked):
        await ports.builds.abandon(projection)
        raise


async def prepare(build: Build[V], ports: Rebuilding, report: Report) -> None:
    """Fill the generation, and leave it to the projectors. Raises what `rebuild` does."""
    if not build.filling.followed:
        await backfill(build, ports.histories, report)
        log.info("generation_filled", slot=str(build.filling.slots[0]), events=build.filling.events)
        await build.index()
        await build.follow()
    # From now on whoever decides to leave an event out finds this generation, too: what was
    # decided before is seen here, what is decided later is seen there.
    for slot in build.filling.slots:
        streams = await ports.mending.streams(slot)
        if len(streams) > _MAX_PARKED:
            raise StreamsParked(len(streams))
        for stream in streams:
            # A view that could not be stored was parked as a whole.
            await mend(slot, stream, ports.mending, ports.histories)


async def _succeed(
    filling: Filling[Any], ports: Rebuilding, report: Report, began: float
) -> dict[str, Any]:
    slot = filling.slots[0]
    async with ports.succession(slot.projection, slot.generation) as succession:
        while await succession.gap() > 0:
            await report(filling.events, filling.events)
            await asyncio.sleep(_LOOK_SECONDS)
        compared = await succession.compare()
        await ports.warm(slot.projection.name, succession.replaced, slot.generation)
        await report(filling.events, filling.events)
        rebuilt = Rebuilt(
            projection=slot.projection.name,
            generation=slot.generation,
            replaced=succession.replaced,
            events=filling.events,
            seconds=round(time.monotonic() - began, 3),
            compared=compared,
        )
        result: dict[str, Any] = msgspec.to_builtins(rebuilt)
        await succession.switch(result)
    log.info("generation_serves", slot=str(slot), differing=compared.differing)
    return result
