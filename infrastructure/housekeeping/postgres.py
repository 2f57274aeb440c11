"""Housekeeping in Postgres: VACUUM of the tables that contain or contained personal data."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import psycopg

from application.errors import Unavailable
from infrastructure.postgres import Connection, connect, is_outage

_TABLES: Final = Path(__file__).with_name("tables.sql").read_bytes()
# Without INDEX_CLEANUP a few dead entries stay in the indexes, which contain names and addresses.
_VACUUM: Final = "VACUUM (ANALYZE, INDEX_CLEANUP ON) {table}"


class PostgresHousekeeping:
    """See `Housekeeping`. The server skips a system table without permission, with a notice."""

    def __init__(self, database_url: str) -> None:
        self._database_url = database_url

    async def tables(self) -> Sequence[str]:
        """See `Housekeeping.tables`."""
        async with _session(self._database_url) as connection:
            return [row[0] for row in await (await connection.execute(_TABLES)).fetchall()]

    async def vacuum(self, table: str) -> None:
        """See `Housekeeping.vacuum`; `table` is quoted as `tables` gave it."""
        async with _session(self._database_url) as connection:
            try:
                await connection.execute(_VACUUM.format(table=table).encode())
            except psycopg.errors.UndefinedTable:
                # The table of a generation that was dropped since.
                return


@asynccontextmanager
async def _session(database_url: str) -> AsyncGenerator[Connection]:
    try:
        async with await connect(database_url, "rollbook clean-up") as connection:
            try:
                yield connection
            except psycopg.Error as error:
                if is_outage(error, connection):
                    raise Unavailable from error
                raise
    except (psycopg.OperationalError, OSError) as error:
        raise Unavailable from error
