"""The backlog of the relay and the workers, read from Postgres in one statement."""

from pathlib import Path
from typing import Final

import psycopg

from application.context import TENANT
from application.errors import Unavailable
from application.metrics.readings import Backlog
from infrastructure.postgres import answered_within, connect, is_outage

_BACKLOG: Final = Path(__file__).with_name("backlog.sql").read_bytes()
_SECONDS: Final = 1.5


class PostgresBacklog:
    """Opens a connection for each read: reads are rare and must not wait for a pool."""

    def __init__(self, database_url: str) -> None:
        self._database_url = database_url

    async def read(self) -> Backlog:
        """The present backlog. Raises `Unavailable`."""
        try:
            connection = await connect(self._database_url, "rollbook metrics")
        except (psycopg.Error, OSError) as error:
            raise Unavailable from error
        try:
            async with connection, answered_within(_SECONDS, connection):
                cursor = await connection.execute(_BACKLOG, {"tenant": TENANT})
                row = await cursor.fetchone()
        except (psycopg.Error, OSError) as error:
            if is_outage(error, connection):
                raise Unavailable from error
            raise
        relay, rejected, jobs = row or (None, 0, {})
        return Backlog(relay=relay, rejected=rejected, jobs=jobs)
