"""The retry of all parked streams of a projection as a job."""

from collections.abc import Iterable
from typing import Any, Final
from uuid import UUID

from structlog import get_logger

from application.failures import describe
from application.jobs.model import JobKind, JobRun
from application.jobs.runs import OUTAGES
from application.log.by_stream import EventsByStream
from application.projector.parked import ParkedStreams, RetryResult
from application.projector.rebuild_jobs import known_projection
from application.projector.retry import retry_in_slot
from application.projector.view_store import Slot
from projections.projection import Projection

RETRY_PARKED: Final = "retry-parked"

_PAGE: Final = 1000
# With more streams, the total is not known: to count them may take long.
_MAX_COUNTED: Final = 10_000

log = get_logger(__name__)


def retry_jobs(
    projections: Iterable[Projection[Any]],
    parked_streams: ParkedStreams,
    events_by_stream: EventsByStream,
) -> JobKind:
    """Retries each parked stream once, in every generation.

    Arguments: `projection`. Result: `projection`, and of the serving generation the number of
    streams that are not parked any more (`retried`), of those that still are (`parked`), and of the
    events that were applied.
    """
    known = {projection.name: projection for projection in projections}

    async def run(job: JobRun) -> dict[str, Any]:
        name = known_projection(known, job).name
        slots = await parked_streams.slots(name)
        counts = [len(await parked_streams.streams(slot, None, _MAX_COUNTED)) for slot in slots]
        total = sum(counts) if max(counts, default=0) < _MAX_COUNTED else None
        retried = parked = applied = done = 0
        for number, slot in enumerate(slots):
            after: UUID | None = None
            while streams := await parked_streams.streams(slot, after, _PAGE):
                for stream in streams:
                    result = await _retry(slot, stream, parked_streams, events_by_stream)
                    if number == 0:
                        is_free = result is not None and result.parked is None
                        retried, parked = retried + is_free, parked + (not is_free)
                        applied += 0 if result is None else result.applied
                    done += 1
                    await job.report(done, total)
                after = streams[-1]
        return {"projection": name, "retried": retried, "parked": parked, "applied": applied}

    return JobKind(name=RETRY_PARKED, run=run)


async def _retry(
    slot: Slot[Any], stream: UUID, parked_streams: ParkedStreams, events_by_stream: EventsByStream
) -> RetryResult | None:
    """The result; None if the retry itself failed: the stream stays parked, and the others go on."""
    try:
        return await retry_in_slot(slot, stream, parked_streams, events_by_stream)
    except OUTAGES:
        raise
    except Exception as error:
        log.warning("retry_failed", slot=str(slot), stream=str(stream), error=describe(error))
        return None
