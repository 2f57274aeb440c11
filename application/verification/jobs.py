"""The job `verify`: compares a projection with the log, and repairs what differs."""

from collections.abc import Iterable, Sequence
from contextlib import AsyncExitStack
from typing import Any, Final

import msgspec
from msgspec import Struct
from structlog import get_logger

from application.jobs.model import JobFailed, JobKind, JobRun
from application.log.by_stream import EventsByStream
from application.projector.backfill import Report
from application.projector.view_store import Slot
from application.verification.repair import OpenRepairs
from application.verification.report import Verified
from application.verification.stored_views import FilledGenerations, OpenStoredViews
from application.verification.verify import verify
from projections.projection import Projection

VERIFY: Final = "verify"

log = get_logger(__name__)


class VerificationPorts(Struct, frozen=True, kw_only=True):
    """The ports of a verification."""

    generations: FilledGenerations
    views: OpenStoredViews
    repairs: OpenRepairs
    events_by_stream: EventsByStream


def verify_jobs(projections: Iterable[Projection[Any]], ports: VerificationPorts) -> JobKind:
    """Arguments: `projection`; `repair`: whether to repair the streams that differ.

    Result: `slots`, a `Verified` as JSON for each partition of each generation; `right`: whether
    all slots match the log.
    """
    known = {projection.name: projection for projection in projections}

    async def run(job: JobRun) -> dict[str, Any]:
        projection = known.get(job.arguments["projection"])
        if projection is None:
            raise JobFailed("this release does not know the projection")
        repairing = bool(job.arguments.get("repair"))
        found: list[Verified] = []
        progress = _Progress(job)
        for slots in await ports.generations.filled(projection):
            found += await verify_generation(slots, ports, progress.report, repairing=repairing)
            progress.next()
        return {
            "projection": projection.name,
            "right": all(each.matches for each in found),
            "slots": msgspec.to_builtins(found),
        }

    return JobKind(name=VERIFY, run=run)


async def verify_generation(
    slots: Sequence[Slot[Any]], ports: VerificationPorts, report: Report, *, repairing: bool
) -> list[Verified]:
    """Verify a generation and, with `repairing`, repair it. Raises what `verify` raises."""
    async with AsyncExitStack() as stack:
        repairs = None
        if repairing:
            # Locked before the views are read, so that no other process repairs what is found here.
            repairs = await stack.enter_async_context(ports.repairs(slots))
        views = await stack.enter_async_context(ports.views(slots))
        found = await verify(views, ports.events_by_stream, report, repairs)
    for each in found:
        if each.differing or each.counters:
            log.warning(
                "views_differ",
                slot=str(slots[each.partition]),
                differing=each.differing,
                counters=len(each.counters),
                repaired=each.repaired,
            )
    return found


class _Progress:
    """Progress over several generations; the total is known for the current one only."""

    def __init__(self, job: JobRun) -> None:
        self._job = job
        self._before = self._total = 0

    async def report(self, done: int, total: int | None) -> None:
        self._total = total or 0
        await self._job.report(self._before + done, self._before + self._total)

    def next(self) -> None:
        self._before += self._total
