"""The worker role: its job kinds, and the loops that run them."""

from collections.abc import Coroutine
from typing import Any

from application.erasure.service import erasure_jobs
from application.jobs.maintenance import (
    EXPORT_RETENTION,
    JOB_RETENTION,
    RECEIPT_RETENTION,
    clean_up_jobs,
    purge_jobs,
)
from application.jobs.model import JobKind
from application.jobs.worker import JobWorker
from application.keys.rotation import key_rotation
from infrastructure.housekeeping.postgres import PostgresHousekeeping
from infrastructure.jobs.ledger import PostgresJobLedger
from infrastructure.jobs.schedule import run_schedules
from infrastructure.keys.store import key_stores
from infrastructure.purge.postgres import OldExports, OldJobs, OldReceipts, OldTickets
from interfaces.composition.exports import export_kind
from interfaces.composition.projector import drop_generations, rebuild_kinds
from interfaces.composition.shared import Parts


def open_worker(parts: Parts) -> list[Coroutine[Any, Any, None]]:
    """The tasks of a worker."""
    kinds = _job_kinds(parts)
    return [
        _run_jobs(kinds, parts),
        run_schedules(kinds, parts.jobs),
        drop_generations(parts.database.url),
    ]


def _job_kinds(parts: Parts) -> list[JobKind]:
    """The job kinds that a worker can run."""
    url = parts.database.url
    return [
        purge_jobs(
            [
                OldReceipts(url, RECEIPT_RETENTION),
                OldTickets(url),
                OldExports(url, EXPORT_RETENTION),
                OldJobs(url, JOB_RETENTION),
            ]
        ),
        export_kind(parts.store, parts.doorbell, parts.exports),
        erasure_jobs(parts.coverage),
        clean_up_jobs(PostgresHousekeeping(url)),
        *rebuild_kinds(parts.store, parts.notifications),
        key_rotation(key_stores(url), parts.masters),
    ]


async def _run_jobs(kinds: list[JobKind], parts: Parts) -> None:
    async with PostgresJobLedger.open(parts.job_sessions) as ledger:
        await JobWorker(kinds, ledger).run(parts.doorbell)
