"""Builds a new generation, compares it with the serving one, then switches to it or drops it."""

import asyncio
import time
from collections.abc import Coroutine
from typing import Any, Final, Literal, TypeVar

import msgspec
from msgspec import Struct
from structlog import get_logger

from application.jobs.model import JobCancelled
from application.log.by_stream import EventsByStream
from application.projector.backfill import Report, backfill
from application.projector.generations import (
    MAX_PARKED,
    Build,
    Comparison,
    Generations,
    NotProjected,
    StreamsParked,
    Switch,
)
from application.projector.parked import ParkedStreams, RemovedSkips
from application.projector.refold import refold
from application.projector.retry import retry_in_slot
from projections.projection import Projection, V

# Between two checks of how far the projectors are.
_LOOK_SECONDS: Final = 0.2
# A build that nobody projects keeps no place: it ends, and its job resumes it later.
_STANDSTILL_SECONDS: Final = 10.0

T = TypeVar("T")

log = get_logger(__name__)

SwitchIf = Literal["always", "differing", "never"]
"""When a build switches: a rebuild always, a repair if anything differs, a verification never."""


class Built(Struct, frozen=True, kw_only=True):
    """The result: `events` were read; `seconds` is the time of all steps together.

    `matches`: the generation that serves now is the same as a fresh fold of the log.
    """

    projection: str
    generation: int
    replaced: int
    events: int
    seconds: float
    compared: Comparison
    switched: bool
    matches: bool = msgspec.field(name="right")


class RebuildPorts(Struct, frozen=True, kw_only=True):
    """The ports of a build."""

    generations: Generations
    events_by_stream: EventsByStream
    parked_streams: ParkedStreams
    removed_skips: RemovedSkips


async def rebuild(
    projection: Projection[Any],
    by: str,
    ports: RebuildPorts,
    report: Report,
    switch_if: SwitchIf = "always",
) -> dict[str, Any]:
    """Build a new generation and switch to it, or drop it. Returns a `Built` as JSON values.

    `by` names the caller: after a crash the same caller resumes its build, or gets the result if
    its generation serves. A cancel, which `report` raises, or `StreamsParked` drops the generation.
    Raises `RebuildUnderWay`, `BuildLost` and `Unavailable`; the caller may retry after these.
    """
    generations = ports.generations
    done = await generations.finished(projection, by)
    if done is not None:
        return dict(done)
    began = time.monotonic()
    async with generations.build(projection, by) as build:
        try:
            await prepare(build, ports, report)
            built = await _compare(build, report, began, switch_if)
        except BaseException as error:
            if isinstance(error, JobCancelled | StreamsParked) or await _is_cancelled(
                build, report
            ):
                await build.drop()
            raise
        if not built.switched:
            await build.drop()
    return msgspec.to_builtins(built)


async def _is_cancelled(build: Build[Any], report: Report) -> bool:
    """Whether a cancel was requested, whatever ended the work: a cancel that is noticed late cancels
    the task, as the stop of a worker does, after which the build is to be resumed.
    """
    try:
        await report(build.progress.events, None)
    except JobCancelled:
        return True
    return False


async def prepare(build: Build[V], ports: RebuildPorts, report: Report) -> None:
    """Backfill the generation and hand it over to the projectors. Raises what `rebuild` does."""
    if not build.progress.followed:
        await backfill(build, ports.events_by_stream, report)
        log.info("generation_filled", slot=str(build.progress.slot), events=build.progress.events)
        events = build.progress.events
        await _while_reporting(build.index(), report, events)
        await build.follow()
    # From now on skips and retries see this generation, too. Those of before are handled here.
    slot = build.progress.slot
    streams = await ports.parked_streams.streams(slot, None, MAX_PARKED + 1)
    if len(streams) > MAX_PARKED:
        raise StreamsParked(streams)
    for stream in await ports.removed_skips.removed(slot):
        # The backfill may have skipped an event that is skipped no more.
        await refold(slot, stream, ports.parked_streams, ports.events_by_stream)
    for stream in streams:
        # The backfill parked all events of a stream whose view could not be stored.
        await retry_in_slot(slot, stream, ports.parked_streams, ports.events_by_stream)


async def _while_reporting(work: Coroutine[Any, Any, T], report: Report, events: int) -> T:
    """Do work that does not report by itself; a cancel ends it at once, also in the server."""
    task = asyncio.create_task(work)
    try:
        while not (await asyncio.wait({task}, timeout=_LOOK_SECONDS))[0]:
            await report(events, events)
        return await task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _wait_for_projectors(switch: Switch, report: Report, events: int) -> None:
    """Wait until the generation has reached the serving one. Raises `NotProjected`."""
    loop = asyncio.get_running_loop()
    least, since = await switch.gap(), loop.time()
    while (gap := await switch.gap()) > 0:
        await report(events, events)
        if gap < least:
            least, since = gap, loop.time()
        elif loop.time() > since + _STANDSTILL_SECONDS:
            raise NotProjected
        await asyncio.sleep(_LOOK_SECONDS)


async def _compare(build: Build[Any], report: Report, began: float, switch_if: SwitchIf) -> Built:
    progress = build.progress
    slot = progress.slot
    async with build.switch() as switch:
        await _wait_for_projectors(switch, report, progress.events)
        compared = await _while_reporting(switch.compare(), report, progress.events)
        await report(progress.events, progress.events)
        # A generation that parks more than the serving one does not repair it.
        repairs = not compared.matches and not compared.newly_parked
        switched = switch_if == "always" or (switch_if == "differing" and repairs)
        built = Built(
            projection=slot.projection.name,
            generation=slot.generation,
            replaced=switch.replaced,
            events=progress.events,
            seconds=round(time.monotonic() - began, 3),
            compared=compared,
            switched=switched,
            matches=switched or compared.matches,
        )
        if switched:
            await switch.switch(msgspec.to_builtins(built))
    event = "generation_serves" if switched else "generation_compared"
    log.info(event, slot=str(slot), differing=compared.differing)
    return built
