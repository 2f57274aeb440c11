"""Rebuild of a projection: backfills a new generation, lets it catch up, and switches to it."""

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
    BuildProgress,
    Builds,
    Comparison,
    StreamsParked,
    Switch,
)
from application.projector.parked import ParkedStreams, retry_in_slot
from projections.projection import Projection, V

# Between two checks of how far the projectors are.
_LOOK_SECONDS: Final = 0.2
# With more parked streams the fold is probably wrong: its author should look at it first.
_MAX_PARKED: Final = 1000

log = get_logger(__name__)

OpenSwitch = Callable[[Projection[Any], int], AbstractAsyncContextManager[Switch]]
"""Opens the switch from the serving generation to this one."""


class Rebuilt(Struct, frozen=True, kw_only=True):
    """The result of a rebuild: `events` were read; `seconds` is the time of all steps together."""

    projection: str
    generation: int
    replaced: int
    events: int
    seconds: float
    compared: Comparison


Warm = Callable[[str, int, int], Awaitable[None]]
"""Warms the cache of a projection before a switch from one generation to another."""


async def _without_cache(projection: str, old: int, new: int) -> None:
    """Does nothing: there is no cache."""


class RebuildPorts(Struct, frozen=True, kw_only=True):
    """The ports of a rebuild."""

    builds: Builds
    events_by_stream: EventsByStream
    parked_streams: ParkedStreams
    open_switch: OpenSwitch
    warm: Warm = _without_cache


async def rebuild(
    projection: Projection[Any], by: str, ports: RebuildPorts, report: Report
) -> dict[str, Any]:
    """Build a new generation and switch to it. Returns a `Rebuilt` as JSON values.

    `by` names the caller: after a crash the same caller resumes its build, or gets the result if
    the rebuild was finished. A cancel by `report`, or `StreamsParked`, drops the build.
    Raises `RebuildUnderWay`, `BuildLost` and `Unavailable`; the caller may retry after these.
    """
    done = await ports.builds.finished(projection, by)
    if done is not None:
        return dict(done)
    began = time.monotonic()
    try:
        async with ports.builds.open(projection, by) as build:
            await prepare(build, ports, report)
            return await _switch(build.progress, ports, report, began)
    except (JobCancelled, StreamsParked):
        await ports.builds.abandon(projection)
        raise


async def prepare(build: Build[V], ports: RebuildPorts, report: Report) -> None:
    """Backfill the generation and hand it over to the projectors. Raises what `rebuild` does."""
    if not build.progress.followed:
        await backfill(build, ports.events_by_stream, report)
        log.info(
            "generation_filled", slot=str(build.progress.slots[0]), events=build.progress.events
        )
        await build.index()
        await build.follow()
    # From now on `skip` sees this generation, too. Events that were skipped earlier are handled by
    # the retry here.
    for slot in build.progress.slots:
        streams = await ports.parked_streams.streams(slot)
        if len(streams) > _MAX_PARKED:
            raise StreamsParked(len(streams))
        for stream in streams:
            # The backfill parked all events of a stream whose view could not be stored.
            await retry_in_slot(slot, stream, ports.parked_streams, ports.events_by_stream)


async def _switch(
    progress: BuildProgress[Any], ports: RebuildPorts, report: Report, began: float
) -> dict[str, Any]:
    slot = progress.slots[0]
    async with ports.open_switch(slot.projection, slot.generation) as switch:
        while await switch.gap() > 0:
            await report(progress.events, progress.events)
            await asyncio.sleep(_LOOK_SECONDS)
        compared = await switch.compare()
        await ports.warm(slot.projection.name, switch.replaced, slot.generation)
        await report(progress.events, progress.events)
        rebuilt = Rebuilt(
            projection=slot.projection.name,
            generation=slot.generation,
            replaced=switch.replaced,
            events=progress.events,
            seconds=round(time.monotonic() - began, 3),
            compared=compared,
        )
        result: dict[str, Any] = msgspec.to_builtins(rebuilt)
        await switch.switch(result)
    log.info("generation_serves", slot=str(slot), differing=compared.differing)
    return result
