"""Housekeeping in Postgres: the purge, a table of statements, and the VACUUM of tables."""

from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from typing import Final

import psycopg

from infrastructure.database import Database
from infrastructure.postgres import answered_within

# Each file has one statement with the retention of its rows, by the server's clock. It removes a
# few thousand rows at most, and returns their number and whether it is to be executed again.
PURGED: Final = (
    "receipts",
    "tickets",
    "exports",
    "jobs",
    "reaction_runs",
    "sessions",
    "signin_links",
    "token_uses",
)

_NAME: Final = "rollbook housekeeping"
_PURGE_SECONDS: Final = 30.0

_HERE: Final = Path(__file__).parent
_TABLES: Final = (_HERE / "tables.sql").read_bytes()
# Rows that come back after a crash are removed by the next purge.
_ASYNCHRONOUS_COMMIT: Final = "SELECT set_config('synchronous_commit', 'off', false)"
# Without INDEX_CLEANUP a few dead entries stay in the indexes, which contain names and addresses.
_VACUUM: Final = "VACUUM (ANALYZE, INDEX_CLEANUP ON) {table}"


class PostgresHousekeeping:
    """See `Housekeeping`. The server skips a system table without permission, with a notice."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def purge(self) -> AsyncGenerator[tuple[str, int]]:
        async with self._database.session(_NAME) as connection:
            await connection.execute(_ASYNCHRONOUS_COMMIT)
            for name in PURGED:
                statement, left = statement_of(name), True
                while left:
                    async with answered_within(_PURGE_SECONDS, connection):
                        row = await (await connection.execute(statement)).fetchone()
                    assert row is not None
                    removed, left = row
                    yield name, removed

    async def tables(self) -> Sequence[str]:
        async with self._database.session(_NAME) as connection:
            return [row[0] for row in await (await connection.execute(_TABLES)).fetchall()]

    async def vacuum(self, table: str) -> None:
        """See `Housekeeping.vacuum`; `table` is quoted as `tables` gave it."""
        async with self._database.session(_NAME) as connection:
            try:
                await connection.execute(_VACUUM.format(table=table).encode())
            except psycopg.errors.UndefinedTable:
                # The table of a generation that was dropped since.
                return


def statement_of(name: str) -> bytes:
    """The statement that removes expired rows."""
    return (_HERE / f"{name}.sql").read_bytes()
