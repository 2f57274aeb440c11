"""Transactions of jobs, through the process's pool."""

from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Self

from infrastructure.database import Database, MaybeCommitted
from infrastructure.postgres import Connection

__all__ = ["JobSessions", "MaybeCommitted"]


class JobSessions:
    """Short transactions, durable when they are committed."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @classmethod
    @asynccontextmanager
    async def open(cls, database_url: str) -> AsyncGenerator[Self]:
        """With a pool of its own."""
        async with Database.open(database_url, size=4) as database:
            yield cls(database)

    def transaction(self) -> AbstractAsyncContextManager[Connection]:
        """See `Database.transaction`."""
        return self._database.transaction()
