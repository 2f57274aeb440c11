"""Rebuilding and rolling back as jobs."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Final

from application.errors import Unavailable
from application.jobs.model import JobCancelled, JobFailed, JobKind, JobRun
from application.jobs.progress import ProgressNotifier
from application.live.notifications import Notices
from application.projector.admin import FormerGenerations
from application.projector.generations import BuildLost, RebuildUnderWay, StreamsParked
from application.projector.rebuild import OpenSuccession, Rebuilding, rebuild
from projections.projection import Projection

REBUILD: Final = "rebuild"
ROLLBACK: Final = "rollback"

_LOOK_SECONDS: Final = 0.2
# A generation that is kept is as near to the log as the one that serves, or it is of no use.
_TIMEOUT_SECONDS: Final = 10.0


def rebuild_jobs(
    projections: Iterable[Projection[Any]], ports: Rebuilding, notices: Notices
) -> JobKind:
    """Argument: `projection`. Result: a `Rebuilt`. People are told how far it is."""
    known = {projection.name: projection for projection in projections}

    async def run(job: JobRun) -> dict[str, Any]:
        projection = _known(known, job.arguments["projection"])
        teller = ProgressNotifier(notices, job, f"Rebuild of {projection.name}")
        try:
            rebuilt = await rebuild(projection, str(job.id), ports, teller.report)
        except StreamsParked as error:
            reason = (
                f"{error.streams} streams are parked in the new generation, which is dropped: "
                "mend or skip what the present one has parked, and rebuild again"
            )
            await teller.tell("error", reason)
            raise JobFailed(reason) from error
        except JobCancelled:
            await teller.tell("info", "cancelled")
            raise
        except RebuildUnderWay as error:
            raise Unavailable from error
        except BuildLost as error:
            # Somebody rolled back meanwhile, or housekeeping took it for abandoned.
            raise Unavailable from error
        differing = rebuilt["compared"]["differing"]
        told = f"generation {rebuilt['generation']} serves; {differing} views differ"
        await teller.tell("success", told)
        return rebuilt

    return JobKind(name=REBUILD, run=run)


def rollback_jobs(
    projections: Iterable[Projection[Any]], succession: OpenSuccession, former: FormerGenerations
) -> JobKind:
    """Arguments: `projection`, and from which to which generation. Result: these again."""
    known = {projection.name: projection for projection in projections}

    async def run(job: JobRun) -> dict[str, Any]:
        projection = _known(known, job.arguments["projection"])
        left, entered = int(job.arguments["from"]), int(job.arguments["to"])
        serving = await former.serving(projection.name)
        if serving == left:
            await _switch(projection, entered, succession, job.report)
        elif serving != entered:
            # A run that was cut short after the switch finds it done; all else is another's doing.
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
    succession: OpenSuccession,
    report: Callable[[int, int | None], Awaitable[None]],
) -> None:
    """Back to a generation that is projected still, whatever it has parked."""
    deadline = asyncio.get_running_loop().time() + _TIMEOUT_SECONDS
    async with succession(projection, generation) as back:
        try:
            while await back.gap() > 0:
                if asyncio.get_running_loop().time() > deadline:
                    raise JobFailed(f"generation {generation} is behind: is it projected?")
                await report(0, 1)
                await asyncio.sleep(_LOOK_SECONDS)
            await back.switch(None, with_parked=True)
        except BuildLost:
            raise JobFailed(f"generation {generation} is not kept any more") from None
    await report(1, 1)
