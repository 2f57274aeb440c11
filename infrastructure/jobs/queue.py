"""procrastinate's queue: one row per unfinished job, changed in the caller's transaction.

procrastinate's own worker is not used: it ends a run without checking that the run is its own, in
a separate transaction, and it stops at the first lost connection.
"""

from collections.abc import Collection
from datetime import datetime
from typing import Any, Final, LiteralString
from uuid import UUID

from msgspec import Struct
from procrastinate import PsycopgConnector
from procrastinate.exceptions import ConnectorException
from procrastinate.jobs import Job, Status
from procrastinate.manager import JobManager

from infrastructure.postgres import Connection

_JOB: Final = "job"
_TIME: Final = "timestamp"


class Task(Struct, frozen=True):
    """procrastinate's row of a job, and the worker that has taken it."""

    id: int
    job: UUID
    worker: int | None


class TaskQueue:
    """The queue in one transaction. Raises psycopg's errors."""

    def __init__(self, connection: Connection) -> None:
        self._manager = JobManager(_OnConnection(connection))

    async def put(self, kind: str, job: UUID) -> int:
        """Queue a job; returns its task."""
        queued = await self._manager.defer_job_async(_task(kind, {_JOB: str(job)}))
        assert queued.id is not None
        return queued.id

    async def put_scheduled(self, kind: str, job: UUID, timestamp: int) -> int | None:
        """Queue a scheduled job for this Unix time; None if another worker already did."""
        task = _task(kind, {_JOB: str(job), _TIME: timestamp})
        return await self._manager.defer_periodic_job(task, "", timestamp)

    async def take(self, kinds: Collection[str], worker: int) -> Task | None:
        """Take the oldest ready task of these kinds; no other worker gets it."""
        taken = await self._manager.fetch_job(list(kinds), worker)
        return None if taken is None else _of(taken)

    async def put_back(self, task: int, at: datetime) -> None:
        """Make a taken task ready again at the given time."""
        await self._manager.retry_job_by_id_async(task, at)

    async def drop(self, task: int) -> None:
        """Delete a task, taken or not."""
        await self._manager.finish_job_by_id_async(task, Status.ABORTED, delete_job=True)

    async def withdraw(self, task: int) -> bool:
        """Delete a task that no worker has taken; False if it was taken."""
        return await self._manager.cancel_job_by_id_async(task, delete_job=True)

    async def register(self) -> int:
        """Register a worker; returns its number."""
        return await self._manager.register_worker()

    async def heartbeat(self, worker: int) -> None:
        """Record that the worker is alive."""
        await self._manager.update_heartbeat(worker)

    async def unregister(self, worker: int) -> None:
        """Remove an ending worker; its taken tasks are stalled at once."""
        await self._manager.unregister_worker(worker)

    async def prune(self, seconds: float) -> None:
        """Remove workers without a heartbeat for this time."""
        await self._manager.prune_stalled_workers(seconds)

    async def taken_by(self, worker: int) -> list[Task]:
        """The tasks that the worker has taken."""
        taken = await self._manager.list_jobs_async(worker_id=worker, status=Status.DOING.value)
        return [_of(job) for job in taken]

    async def stalled(self, seconds: float) -> list[Task]:
        """The tasks taken by workers without a heartbeat for this time."""
        stalled = await self._manager.get_stalled_jobs(seconds_since_heartbeat=seconds)
        return [_of(job) for job in stalled]


def _task(kind: str, arguments: dict[str, Any]) -> Job:
    return Job(queue=kind, task_name=kind, lock=None, queueing_lock=None, task_kwargs=arguments)


def _of(job: Job) -> Task:
    assert job.id is not None
    return Task(job.id, UUID(str(job.task_kwargs[_JOB])), job.worker_id)


class _OnConnection(PsycopgConnector):
    """Runs procrastinate's queries on one connection, in its transaction."""

    def __init__(self, connection: Connection) -> None:
        super().__init__()  # pyright: ignore[reportUnknownMemberType]
        self._connection = connection

    async def execute_query_async(self, query: LiteralString, **arguments: Any) -> None:
        await self.execute_query_all_async(query, **arguments)

    async def execute_query_one_async(
        self, query: LiteralString, **arguments: Any
    ) -> dict[str, Any]:
        (row,) = await self.execute_query_all_async(query, **arguments)
        return row

    async def execute_query_all_async(
        self, query: LiteralString, **arguments: Any
    ) -> list[dict[str, Any]]:
        try:
            return await self.execute_query_all_async_with_connection(
                self._connection, query, **arguments
            )
        except ConnectorException as error:
            raise error.__cause__ or error from None
