"""Rebuild and rollback as jobs."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Final

from application.errors import Unavailable
from application.jobs.model import JobCancelled, JobFailed, JobKind, JobRun
from application.jobs.progress import ProgressNotifier
from application.live.notifications import Notifier
from application.projector.admin import PreviousGenerations
from application.projector.generations import BuildLost, RebuildUnderWay, StreamsParked
from application.projector.rebuild import OpenSwitch, RebuildPorts, rebuild
from projections.projection import Projection

REBUILD: Final = "rebuild"
ROLLBACK: Final = "rollback"

_LOOK_SECONDS: Final = 0.2
# A kept generation is normally as current as the serving one; one that is behind is of no use.
_TIMEOUT_SECONDS: Final = 10.0


def rebuild_jobs(
    projections: Iterable[Projection[Any]], ports: RebuildPorts, notifier: Notifier
) -> JobKind:
    """Argument: `projection`. Result: a `Rebuilt`. Sends notifications of its progress."""
    known = {projection.name: projection for projection in projections}

    async def run(job: JobRun) -> dict[str, Any]:
        projection = _known(known, job.arguments["projection"])
        progress = ProgressNotifier(notifier, job, f"Rebuild of {projection.name}")
        try:
            rebuilt = await rebuild(projection, str(job.id), ports, progress.report)
        except StreamsParked as error:
            reason = (
                f"{error.streams} streams are parked in the new generation, which is dropped: "
                "retry or skip the streams that the serving generation has parked, and rebuild again"
            )
            await progress.notify("error", reason)
            raise JobFailed(reason) from error
        except JobCancelled:
            await progress.notify("info", "cancelled")
            raise
        except RebuildUnderWay as error:
            raise Unavailable from error
        except BuildLost as error:
            # A rollback came in between, or housekeeping dropped the build as abandoned.
            raise Unavailable from error
        differing = rebuilt["compared"]["differing"]
        message = f"generation {rebuilt['generation']} serves; {differing} views differ"
        await progress.notify("success", message)
        return rebuilt

    return JobKind(name=REBUILD, run=run)


def rollback_jobs(
    projections: Iterable[Projection[Any]],
    open_switch: OpenSwitch,
    previous_generations: PreviousGenerations,
) -> JobKind:
    """Arguments: `projection`, `from` and `to` (generations). Result: the arguments."""
    known = {projection.name: projection for projection in projections}

    async def run(job: JobRun) -> dict[str, Any]:
        projection = _known(known, job.arguments["projection"])
        left, entered = int(job.arguments["from"]), int(job.arguments["to"])
        serving = await previous_generations.serving(projection.name)
        if serving == left:
            await _switch(projection, entered, open_switch, job.report)
        elif serving != entered:
            # If this run was repeated after its own switch, `entered` serves already.
            raise JobFailed(f"generation {serving} serves, and not {left} any more")
        return dict(job.arguments)

    return JobKind(name=ROLLBACK, run=run)


def _known(known: Mapping[str, Projection[Any]], name: str) -> Projection[Any]:
    try:
        return known[name]
    except KeyError:
        raise JobFailed(f"this release has no projection {name}") from None


async def _switch(
    projection: Projection[Any],
    generation: int,
    open_switch: OpenSwitch,
    report: Callable[[int, int | None], Awaitable[None]],
) -> None:
    """Switch back to a generation that is still up to date, whatever it has parked."""
    deadline = asyncio.get_running_loop().time() + _TIMEOUT_SECONDS
    async with open_switch(projection, generation) as switch:
        try:
            while await switch.gap() > 0:
                if asyncio.get_running_loop().time() > deadline:
                    raise JobFailed(f"generation {generation} is behind: is it projected?")
                await report(0, 1)
                await asyncio.sleep(_LOOK_SECONDS)
            await switch.switch(None, with_parked=True)
        except BuildLost:
            raise JobFailed(f"generation {generation} is not kept any more") from None
    await report(1, 1)
