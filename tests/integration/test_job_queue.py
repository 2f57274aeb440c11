"""The queue's tables are procrastinate's own, and lie where all of Rollbook's tables do."""

from pathlib import Path
from typing import Final

import psycopg
from procrastinate.schema import SchemaManager

from infrastructure import migrations
from infrastructure.migrations import migrate
from tests.jobs import Bench, echo, kind

SCHEMA: Final = Path(migrations.__file__).parent / "sql" / "0004_procrastinate.sql"


def test_the_migration_has_the_schema_of_the_queue_that_is_installed() -> None:
    """If not: the package was upgraded, and its own migrations belong into one of ours."""
    assert SCHEMA.read_text().endswith(f"\n\n{SchemaManager.get_schema()}")


async def test_jobs_are_done_in_whatever_schema_the_address_names(empty_database_url: str) -> None:
    async with await psycopg.AsyncConnection.connect(empty_database_url) as connection:
        await connection.execute("CREATE SCHEMA elsewhere")
    joint = "&" if "?" in empty_database_url else "?"
    url = f"{empty_database_url}{joint}options=-csearch_path%3Delsewhere"
    await migrate(url)
    async with Bench.in_postgres(url) as bench, bench.working(kind(echo)):
        assert (await bench.until(await bench.submit("work", {"n": 1}))).result == {"n": 1}
    async with await psycopg.AsyncConnection.connect(url) as connection:
        cursor = await connection.execute(
            "SELECT schemaname FROM pg_tables WHERE tablename ~ 'jobs'"
        )
        assert set(await cursor.fetchall()) == {("elsewhere",)}
