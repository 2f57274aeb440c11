"""procrastinate's queue: entries in our transactions, and the statements of its worker.

Each entry is for one run of a job: a further run gets a new entry. So no worker can end, by an
entry's number, a run that is not its own.
"""

from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from typing import Any, Final, LiteralString
from uuid import UUID

import psycopg
from procrastinate import PsycopgConnector
from procrastinate.connector import Notify
from procrastinate.exceptions import ConnectorException
from procrastinate.jobs import Job
from procrastinate.manager import JobManager

from application.context import TENANT
from application.doorbell import Doorbell
from application.errors import Unavailable
from application.jobs.model import class_of
from application.retry import BackOff, raise_if_cancelled
from infrastructure.database import TRANSACTION_SECONDS, Database
from infrastructure.postgres import Connection

# The bell that rings when a job may have become ready.
JOBS: Final = "jobs"
# The doorbell's channel: the bell rings in every process when the transaction commits.
_RING: Final = "SELECT pg_notify('rollbook_bells', 'jobs')"

# procrastinate's task of all kinds of jobs, and that of the runs of reactions with its queue.
TASK: Final = "job"
REACTION_TASK: Final = "reaction"
REACTIONS: Final = "reactions"

_BELL_SECONDS: Final = 60.0
_INSERTED: Final = '{"type": "job_inserted", "job_id": 0}'
_NOTE: Final = "UPDATE jobs SET task = %s WHERE id = %s AND tenant = %s"
_LATER: Final = "SELECT now() + make_interval(secs => %s)"

# The place of an entry among the others of its class. Jobs that only wait stand behind all others, so
# any number of them delays none.
FIRST: Final = 1
IN_TURN: Final = 0
LAST: Final = -1

# Only for statements on a connection that it is given.
_MANAGER: Final = JobManager(PsycopgConnector())  # pyright: ignore[reportUnknownMemberType]


async def put(
    connection: Connection, kind: str, job: UUID, seconds: float = 0.0, *, place: int = IN_TURN
) -> None:
    """Queue a run of a job after `seconds`, and note its entry in the job."""
    at = None
    if seconds > 0:
        row = await (await connection.execute(_LATER, (seconds,))).fetchone()
        assert row is not None
        at = row[0]
    entry = Job(
        queue=class_of(kind),
        task_name=TASK,
        lock=None,
        queueing_lock=None,
        task_kwargs={"job": str(job)},
        priority=place,
        scheduled_at=at,
    )
    with _plain_errors():
        queued = await _MANAGER.defer_job_async(entry, connection=connection)
    await connection.execute(_NOTE, (queued.id, job, TENANT))
    if at is None:
        await connection.execute(_RING)


async def put_reactions(
    connection: Connection, runs: Sequence[tuple[str, UUID, int]]
) -> Sequence[int]:
    """Queue runs of reactions on events, each with its position; returns their entries in order."""
    entries = [
        Job(
            queue=REACTIONS,
            task_name=REACTION_TASK,
            lock=None,
            queueing_lock=None,
            task_kwargs={"reaction": reaction, "event": str(event_id), "position": position},
        )
        for reaction, event_id, position in runs
    ]
    with _plain_errors():
        queued = await _MANAGER.batch_defer_jobs_async(entries, connection=connection)
    await connection.execute(_RING)
    return [entry.id for entry in queued if entry.id is not None]


async def withdraw(connection: Connection, entry: int) -> None:
    """Delete an entry, unless a worker has taken it: that worker then finds nothing to run."""
    with _plain_errors():
        await _MANAGER.cancel_job_by_id_async(entry, delete_job=True, connection=connection)


class QueueConnector(PsycopgConnector):
    """Runs the worker's statements on our pool; while the server is away, they wait.

    So a worker outlives an outage, and its runs go on. After `close`, statements fail at once.
    """

    def __init__(self, database: Database, doorbell: Doorbell) -> None:
        super().__init__()  # pyright: ignore[reportUnknownMemberType]
        self._database = database
        self._doorbell = doorbell
        self.is_closed = False

    def close(self) -> None:
        """Let nothing wait any more: the worker is to stop."""
        self.is_closed = True

    async def execute_query_async(self, query: LiteralString, **arguments: Any) -> None:
        try:
            await self.execute_query_all_async(query, **arguments)
        except psycopg.errors.RaiseException:
            # The entry is gone: this statement was repeated, or another worker has run the job.
            return

    async def execute_query_one_async(
        self, query: LiteralString, **arguments: Any
    ) -> dict[str, Any]:
        (row,) = await self.execute_query_all_async(query, **arguments)
        return row

    async def execute_query_all_async(
        self, query: LiteralString, **arguments: Any
    ) -> list[dict[str, Any]]:
        back_off = BackOff("worker")
        while True:
            try:
                async with self._database.connection(TRANSACTION_SECONDS) as connection:
                    with _plain_errors():
                        rows = await self.execute_query_all_async_with_connection(
                            connection, query, **arguments
                        )
                # The worker's loops do not look for a cancellation that was lost.
                raise_if_cancelled()
                return rows
            except Unavailable as error:
                if self.is_closed:
                    raise
                await back_off.wait(error)

    async def listen_notify(self, on_notification: Notify, channels: Iterable[str]) -> None:
        """Wake the worker by our doorbell, which listens for the whole process."""
        channel = next(iter(channels))
        async with self._doorbell.listen(JOBS) as bell:
            while True:
                if await bell.wait(_BELL_SECONDS):
                    await on_notification(channel=channel, payload=_INSERTED)


@contextmanager
def _plain_errors() -> Generator[None]:
    """Raise psycopg's errors instead of procrastinate's."""
    try:
        yield
    except ConnectorException as error:
        raise error.__cause__ or error from None
