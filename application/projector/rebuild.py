"""Builds a new generation, compares it with the serving one, then switches to it or drops it."""

import asyncio
import time
from typing import Any, Final, Literal

import msgspec
from msgspec import Struct
from structlog import get_logger

from application.jobs.model import JobCancelled
from application.log.by_stream import EventsByStream
from application.projector.backfill import Report, backfill
from application.projector.generations import (
    Build,
    BuildProgress,
    Comparison,
    Generations,
    StreamsParked,
)
from application.projector.parked import ParkedStreams, retry_in_slot
from projections.projection import Projection, V

# Between two checks of how far the projectors are.
_LOOK_SECONDS: Final = 0.2
# With more parked streams the fold is probably wrong: its author should look at it first.
_MAX_PARKED: Final = 1000

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


async def rebuild(
    projection: Projection[Any],
    by: str,
    ports: RebuildPorts,
    report: Report,
    switch_if: SwitchIf = "always",
) -> dict[str, Any]:
    """Build a new generation and switch to it, or drop it. Returns a `Built` as JSON values.

    `by` names the caller: after a crash the same caller resumes its build, or gets the result if
    its generation serves. A cancel by `report`, or `StreamsParked`, drops the generation.
    Raises `RebuildUnderWay`, `BuildLost` and `Unavailable`; the caller may retry after these.
    """
    generations = ports.generations
    done = await generations.finished(projection, by)
    if done is not None:
        return dict(done)
    began = time.monotonic()
    async with generations.build(projection, by) as build:
        slot = build.progress.slot
        try:
            await prepare(build, ports, report)
            built = await _compare(build.progress, ports, report, began, switch_if)
        except (JobCancelled, StreamsParked):
            await generations.drop(slot)
            raise
        if not built.switched:
            await generations.drop(slot)
    return msgspec.to_builtins(built)


async def prepare(build: Build[V], ports: RebuildPorts, report: Report) -> None:
    """Backfill the generation and hand it over to the projectors. Raises what `rebuild` does."""
    if not build.progress.followed:
        await backfill(build, ports.events_by_stream, report)
        log.info("generation_filled", slot=str(build.progress.slot), events=build.progress.events)
        await build.index()
        await build.follow()
    # From now on `skip` sees this generation, too. Events that were skipped earlier are handled by
    # the retry here.
    slot = build.progress.slot
    streams = await ports.parked_streams.streams(slot)
    if len(streams) > _MAX_PARKED:
        raise StreamsParked(streams)
    for stream in streams:
        # The backfill parked all events of a stream whose view could not be stored.
        await retry_in_slot(slot, stream, ports.parked_streams, ports.events_by_stream)


async def _compare(
    progress: BuildProgress[Any],
    ports: RebuildPorts,
    report: Report,
    began: float,
    switch_if: SwitchIf,
) -> Built:
    slot = progress.slot
    async with ports.generations.switch(slot) as switch:
        while await switch.gap() > 0:
            await report(progress.events, progress.events)
            await asyncio.sleep(_LOOK_SECONDS)
        compared = await switch.compare()
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
