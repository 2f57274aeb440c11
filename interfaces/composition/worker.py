"""The worker role: its job kinds, and the loops that run them."""

from collections.abc import Coroutine
from typing import Any

from application.erasure.service import erasure_jobs
from application.jobs.maintenance import clean_up_jobs, purge_jobs
from application.jobs.model import JobKind
from application.keys.rotation import key_rotation
from infrastructure.housekeeping.postgres import PostgresHousekeeping
from infrastructure.jobs.worker import JobWorkers
from infrastructure.keys.store import key_stores
from interfaces.composition.exports import export_kind
from interfaces.composition.projector import drop_generations, rebuild_kinds
from interfaces.composition.shared import Parts


def open_worker(parts: Parts) -> list[Coroutine[Any, Any, None]]:
    """The tasks of a worker."""
    workers = JobWorkers(_job_kinds(parts), parts.database, parts.jobs, parts.doorbell)
    return [workers.run(), drop_generations(parts.database)]


def _job_kinds(parts: Parts) -> list[JobKind]:
    """The job kinds that a worker can run."""
    housekeeping = PostgresHousekeeping(parts.database)
    return [
        purge_jobs(housekeeping),
        clean_up_jobs(housekeeping),
        erasure_jobs(parts.coverage),
        export_kind(parts.store, parts.doorbell, parts.exports),
        *rebuild_kinds(parts.store, parts.notifications),
        key_rotation(key_stores(parts.database), parts.masters),
    ]
