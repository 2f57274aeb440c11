"""Tells people who watch how far a job is: now and then, and what came of it."""

from collections.abc import Callable
from time import monotonic
from typing import Final

from structlog import get_logger

from application.errors import Unavailable
from application.jobs.model import JobRun, Progress
from application.jobs.runs import Pace
from application.live.notifications import Notices, Severity

# A job that takes less is told of once, when it is done.
_EACH_SECONDS: Final = 2.0

log = get_logger(__name__)


class ProgressNotifier:
    """Reports for a job, and tells people what it reports every two seconds."""

    def __init__(
        self, notices: Notices, job: JobRun, title: str, clock: Callable[[], float] = monotonic
    ) -> None:
        self._notices = notices
        self._job = job
        self._title = title
        self._clock = clock
        self._pace = Pace(clock)
        self._told_at = clock()

    async def report(self, done: int, total: int | None = None) -> None:
        """See `JobRun.report`."""
        await self._job.report(done, total)
        self._pace.report(done, total)
        if self._clock() >= self._told_at + _EACH_SECONDS:
            await self.tell("info", told(self._pace.progress))

    async def tell(self, severity: Severity, message: str) -> None:
        """Tell people; the job does not depend on it."""
        self._told_at = self._clock()
        try:
            await self._notices.tell(
                severity, f"{self._title}: {message}", f"/v1/jobs/{self._job.id}"
            )
        except Unavailable:
            log.warning("notification_lost", job=str(self._job.id), severity=severity)


def told(progress: Progress) -> str:
    """Such as `45,000 of 100,000, 15,000/s, 4 s left`, as far as it is known."""
    parts = [f"{progress.done:,}" + (f" of {progress.total:,}" if progress.total else "")]
    if progress.rate is not None:
        parts.append(f"{progress.rate:,.0f}/s")
    if progress.eta_seconds is not None:
        parts.append(f"{progress.eta_seconds:,.0f} s left")
    return ", ".join(parts)
