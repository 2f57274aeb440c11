"""Transactions of jobs: short, with a timeout, and durable when they are committed."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final, Self

import psycopg
from psycopg_pool import PoolTimeout

from application.errors import Unavailable
from infrastructure.pool import Pool, open_pool
from infrastructure.postgres import Connection, answered_within, is_outage

_POOL_SIZE: Final = 4
_WAIT_SECONDS: Final = 2.0
_SECONDS: Final = 5.0


class MaybeCommitted(Unavailable):
    """The reply to COMMIT was lost or late: the transaction may have been committed."""


class JobSessions:
    """A pool of connections, opened when they are needed."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    @classmethod
    @asynccontextmanager
    async def open(cls, database_url: str) -> AsyncGenerator[Self]:
        """It opens even while the server is away."""
        async with open_pool(
            database_url,
            "rollbook jobs",
            size=_POOL_SIZE,
            autocommit=False,
            prepare_threshold=None,
            configure=_configure,
        ) as pool:
            yield cls(pool)

    @asynccontextmanager
    async def transaction(self) -> AsyncGenerator[Connection]:
        """Commits the whole block, or nothing of it.

        Raises `Unavailable` if nothing was committed for certain, else `MaybeCommitted`.
        """
        connection = None
        committing = False
        try:
            async with (
                self._pool.connection(timeout=_WAIT_SECONDS) as connection,
                answered_within(_SECONDS, connection),
            ):
                yield connection
                committing = True
                await connection.commit()
        except PoolTimeout as error:
            raise Unavailable from error
        except (psycopg.Error, OSError) as error:
            if connection is not None and not is_outage(error, connection):
                raise
            raise (MaybeCommitted if committing else Unavailable) from error


async def _configure(connection: Connection) -> None:
    # The server's default may be weaker.
    await connection.execute("SELECT set_config('synchronous_commit', 'on', false)")
    await connection.commit()
