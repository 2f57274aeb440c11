"""The queue's tables are procrastinate's own, in the schema of all of Rollbook's tables."""

from pathlib import Path

import psycopg

from infrastructure import migrations
from infrastructure.migrations import migrate
from tests.support.jobs.jobs import Bench, echo, kind


async def test_jobs_run_in_the_schema_that_the_url_names(empty_database_url: str) -> None:
    async with await psycopg.AsyncConnection.connect(empty_database_url) as connection:
        await connection.execute("CREATE SCHEMA elsewhere")
    separator = "&" if "?" in empty_database_url else "?"
    url = f"{empty_database_url}{separator}options=-csearch_path%3Delsewhere"
    await migrate(url)
    async with Bench.in_postgres(url) as bench, bench.working(kind(echo)):
        assert (await bench.wait_for(await bench.submit("work", {"n": 1}))).result == {"n": 1}
    async with await psycopg.AsyncConnection.connect(url) as connection:
        cursor = await connection.execute(
            "SELECT schemaname FROM pg_tables WHERE tablename ~ 'jobs'"
        )
        assert set(await cursor.fetchall()) == {("elsewhere",)}


async def test_jobs_that_an_older_schema_queued_move_to_the_queue_of_their_class(
    database_url: str,
) -> None:
    folder = Path(migrations.__file__).parent
    move = (folder / "sql" / "0011_job_queues.sql").read_text().partition(";")[0]
    async with Bench.in_postgres(database_url) as bench:
        jobs = [await bench.submit(name, {"n": 1}) for name in ("work", "export", "rebuild")]
        async with await psycopg.AsyncConnection.connect(database_url) as connection:
            await connection.execute(
                """UPDATE procrastinate_jobs SET queue_name = jobs.kind, task_name = jobs.kind,
                args = args || '{"timestamp": 1}' FROM jobs WHERE jobs.task = procrastinate_jobs.id"""
            )
            await connection.execute(move.encode())
        async with bench.working(*(kind(echo, job.kind) for job in jobs)):
            for job in jobs:
                assert (await bench.wait_for(job)).result == {"n": 1}
