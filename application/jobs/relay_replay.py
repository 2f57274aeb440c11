"""The job that publishes the events again that the relay set aside."""

from typing import Any, Final
from uuid import UUID

from msgspec.structs import asdict

from application.jobs.model import JobFailed, JobKind, JobRun
from application.messaging.bus import Bus
from application.messaging.rejected import RelayRecords, Replayed, SealedEvents, replay

RELAY_REPLAY: Final = "relay-replay"


def relay_replay_jobs(
    bus: Bus | None, records: RelayRecords, events: SealedEvents, log_id: UUID
) -> JobKind:
    """The result counts what was sent, refused again, and still cannot be read."""

    async def run(job: JobRun) -> dict[str, Any]:
        if not await records.rejected(0, 1):
            return asdict(Replayed())
        if bus is None:
            raise JobFailed("the worker has no ROLLBOOK_AMQP_URL")
        return asdict(await replay(bus, records, events, log_id, job.report))

    return JobKind(name=RELAY_REPLAY, run=run)
