"""The queue's tables are procrastinate's own, in the schema of all of Rollbook's tables."""

import psycopg

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
