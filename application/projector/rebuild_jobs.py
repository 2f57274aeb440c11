"""Rebuild, verification and rollback as jobs."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from application.errors import Unavailable
from application.jobs.model import JobCancelled, JobFailed, JobKind, JobRun
from application.jobs.progress import ProgressNotifier
from application.live.notifications import Notifier
from application.projector.admin import PreviousGenerations
from application.projector.backfill import Report
from application.projector.generations import (
    MAX_PARKED,
    BuildLost,
    Generations,
    OlderRelease,
    RebuildUnderWay,
    StreamsParked,
)
from application.projector.rebuild import RebuildPorts, SwitchIf, rebuild
from application.projector.view_store import Slot
from projections.projection import Projection

REBUILD: Final = "rebuild"
VERIFY: Final = "verify"
ROLLBACK: Final = "rollback"

_LOOK_SECONDS: Final = 0.2
# A kept generation is normally as current as the serving one; one that is behind is of no use.
_TIMEOUT_SECONDS: Final = 10.0
_MAX_NAMED: Final = 3


class BuildWaits(Unavailable):
    """The build cannot go on now; its job is run again."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)

    def __str__(self) -> str:
        return self.reason


Known = Mapping[str, Projection[Any]]


def rebuild_jobs(
    projections: Iterable[Projection[Any]], ports: RebuildPorts, notifier: Notifier
) -> list[JobKind]:
    """The kinds `rebuild` and `verify`. Each notifies people of its progress.

    Arguments: `projection`; of `verify` also `repair`: whether to switch to the new generation if
    anything differs; of a `rebuild` for a new release, also that release's `revision` and the
    `columns` to add: a worker that does not have them leaves the job to another. Result: a `Built`.
    """
    known = {projection.name: projection for projection in projections}

    async def run_rebuild(job: JobRun) -> dict[str, Any]:
        return await _run(job, known, ports, notifier, "Rebuild", lambda job: "always")

    async def run_verify(job: JobRun) -> dict[str, Any]:
        return await _run(job, known, ports, notifier, "Verification", _repair_or_not)

    return [JobKind(name=REBUILD, run=run_rebuild), JobKind(name=VERIFY, run=run_verify)]


def _repair_or_not(job: JobRun) -> SwitchIf:
    return "differing" if job.arguments.get("repair") else "never"


async def _run(
    job: JobRun,
    known: Known,
    ports: RebuildPorts,
    notifier: Notifier,
    what: str,
    switch_if: Callable[[JobRun], SwitchIf],
) -> dict[str, Any]:
    projection = known_projection(known, job)
    _refuse_older_release(projection, job)
    progress = ProgressNotifier(notifier, job, f"{what} of {projection.name}")
    try:
        built = await rebuild(projection, str(job.id), ports, progress.report, switch_if(job))
    except StreamsParked as error:
        reason = _parked(error)
        await progress.notify("error", reason)
        raise JobFailed(reason) from error
    except JobCancelled:
        await progress.notify("info", "cancelled")
        raise
    except (RebuildUnderWay, BuildLost) as error:
        # Another build runs; or a rollback came in between, or the build expired.
        raise BuildWaits(str(error)) from error
    differing = f"{built['compared']['differing']} views differ"
    if built["switched"]:
        await progress.notify("success", f"generation {built['generation']} serves; {differing}")
    else:
        await progress.notify("success" if built["right"] else "warning", differing)
    return built


def _refuse_older_release(projection: Projection[Any], job: JobRun) -> None:
    columns: Iterable[str] = job.arguments.get("columns", ())
    revision = int(job.arguments.get("revision", 0))
    if revision > projection.revision or not set(projection.columns).issuperset(columns):
        raise OlderRelease(OlderRelease.__doc__)


def _parked(error: StreamsParked) -> str:
    named = ", ".join(map(str, error.streams[:_MAX_NAMED]))
    is_capped = len(error.streams) > MAX_PARKED
    number = f"more than {MAX_PARKED:,}" if is_capped else str(len(error.streams))
    return (
        f"this release cannot apply all events of {number} streams ({named}"
        f"{', …' if len(error.streams) > _MAX_NAMED else ''}): the new generation is dropped"
    )


def rollback_jobs(
    projections: Iterable[Projection[Any]],
    generations: Generations,
    previous_generations: PreviousGenerations,
) -> JobKind:
    """Arguments: `projection`, `from` and `to` (generations). Result: the arguments."""
    known = {projection.name: projection for projection in projections}

    async def run(job: JobRun) -> dict[str, Any]:
        projection = known_projection(known, job)
        left, entered = int(job.arguments["from"]), int(job.arguments["to"])
        serving = await previous_generations.serving(projection.name)
        # If this run was repeated after its own switch, `entered` serves already.
        if serving != entered:
            if serving != left:
                raise JobFailed(f"generation {serving} serves, and not {left} any more")
            await _roll_back(Slot(projection, entered), generations, job.report)
        return dict(job.arguments)

    return JobKind(name=ROLLBACK, run=run)


def known_projection(known: Known, job: JobRun) -> Projection[Any]:
    """The projection that a job names. Raises `JobFailed` if this release does not have it."""
    name = job.arguments["projection"]
    try:
        return known[name]
    except KeyError:
        raise JobFailed(f"this release has no projection {name}") from None


async def _roll_back(slot: Slot[Any], generations: Generations, report: Report) -> None:
    """Switch back to a generation that is still up to date, whatever it has parked."""
    deadline = asyncio.get_running_loop().time() + _TIMEOUT_SECONDS
    async with generations.switch(slot) as switch:
        try:
            while await switch.gap() > 0:
                if asyncio.get_running_loop().time() > deadline:
                    raise JobFailed(f"generation {slot.generation} is behind: is it projected?")
                await report(0, 1)
                await asyncio.sleep(_LOOK_SECONDS)
            await switch.switch(None, with_parked=True)
        except BuildLost:
            raise JobFailed(f"generation {slot.generation} is not kept any more") from None
    await report(1, 1)
