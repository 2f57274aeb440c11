"""procrastinate's queue: one row a job that is not finished, moved in the caller's transaction.

Its own worker is not used: it records the end of a run without asking whose the run was, in a
transaction of its own, and stops at the first lost connection.
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
    """procrastinate's row of a job, and the worker that has it."""

    id: int
    job: UUID
    worker: int | None


class TaskQueue:
    """The queue as one transaction sees it. Raises psycopg's errors."""

    def __init__(self, connection: Connection) -> None:
        self._manager = JobManager(_OnConnection(connection))

    async def put(self, kind: str, job: UUID) -> int:
        """Queue a job; its task."""
        put = await self._manager.defer_job_async(_task(kind, {_JOB: str(job)}))
        assert put.id is not None
        return put.id

    async def put_scheduled(self, kind: str, job: UUID, timestamp: int) -> int | None:
        """Queue a job that a schedule asks for at that Unix time, unless another worker did."""
        task = _task(kind, {_JOB: str(job), _TIME: timestamp})
        return await self._manager.defer_periodic_job(task, "", timestamp)

    async def take(self, kinds: Collection[str], worker: int) -> Task | None:
        """The oldest task of these kinds that is ready; nobody else gets it."""
        taken = await self._manager.fetch_job(list(kinds), worker)
        return None if taken is None else _of(taken)

    async def put_back(self, task: int, at: datetime) -> None:
        """A task that was taken is ready again from then on."""
        await self._manager.retry_job_by_id_async(task, at)

    async def drop(self, task: int) -> None:
        """Forget a task, taken or not."""
        await self._manager.finish_job_by_id_async(task, Status.ABORTED, delete_job=True)

    async def withdraw(self, task: int) -> bool:
        """Forget a task that nobody has taken; whether it was so."""
        return await self._manager.cancel_job_by_id_async(task, delete_job=True)

    async def register(self) -> int:
        """A new worker's number."""
        return await self._manager.register_worker()

    async def beat(self, worker: int) -> None:
        """The worker lives."""
        await self._manager.update_heartbeat(worker)

    async def unregister(self, worker: int) -> None:
        """The worker ends; what it has taken is stalled at once."""
        await self._manager.unregister_worker(worker)

    async def prune(self, seconds: float) -> None:
        """Forget workers that have not been heard of for so long."""
        await self._manager.prune_stalled_workers(seconds)

    async def held_by(self, worker: int) -> list[Task]:
        """What the worker has taken."""
        held = await self._manager.list_jobs_async(worker_id=worker, status=Status.DOING.value)
        return [_of(job) for job in held]

    async def stalled(self, seconds: float) -> list[Task]:
        """What is taken by workers that have not been heard of for so long."""
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
