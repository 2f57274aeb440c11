"""The worker role: its job kinds, and the loops that run them."""

from collections.abc import Coroutine
from contextlib import AsyncExitStack
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
from interfaces.composition.exports import open_export_kind
from interfaces.composition.projector import drop_generations, open_rebuild_kinds
from interfaces.composition.shared import Parts


async def open_worker(stack: AsyncExitStack, parts: Parts) -> list[Coroutine[Any, Any, None]]:
    """The tasks of a worker."""
    kinds = await _job_kinds(stack, parts)
    return [
        _run_jobs(kinds, parts),
        run_schedules(kinds, parts.jobs),
        drop_generations(parts.database_url),
    ]


async def _job_kinds(stack: AsyncExitStack, parts: Parts) -> list[JobKind]:
    """The job kinds that a worker can run."""
    url = parts.database_url
    return [
        purge_jobs(
            [
                OldReceipts(url, RECEIPT_RETENTION),
                OldTickets(url),
                OldExports(url, EXPORT_RETENTION),
                OldJobs(url, JOB_RETENTION),
            ]
        ),
        await open_export_kind(stack, url, parts.store, parts.doorbell, parts.exports),
        erasure_jobs(parts.coverage),
        clean_up_jobs(PostgresHousekeeping(url)),
        *await open_rebuild_kinds(stack, url, parts.store, parts.notifications, parts.cache),
        key_rotation(key_stores(url), parts.masters),
    ]


async def _run_jobs(kinds: list[JobKind], parts: Parts) -> None:
    async with PostgresJobLedger.open(parts.job_sessions) as ledger:
        await JobWorker(kinds, ledger).run(parts.doorbell)
