"""The backlog of the workers, read from Postgres in one statement."""

from pathlib import Path
from typing import Final

from application.context import TENANT
from application.metrics.readings import Backlog
from infrastructure.database import Database

_BACKLOG: Final = Path(__file__).with_name("backlog.sql").read_bytes()


class PostgresBacklog:
    """The rows that wait, counted in one statement."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def read(self) -> Backlog:
        """The present backlog. Raises `Unavailable`."""
        rows = await self._database.rows(_BACKLOG, {"tenant": TENANT})
        jobs, ahead = rows[0]
        return Backlog(jobs=jobs, ahead_seconds=ahead)
