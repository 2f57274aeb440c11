"""All users that match at one moment, in one snapshot: who they are, in which version."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, Final

import psycopg
from psycopg.errors import UndefinedTable
from sqlalchemy import select
from sqlalchemy.exc import DBAPIError, ProgrammingError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncResult, create_async_engine
from sqlalchemy.pool import NullPool

from application.doorbell import Doorbell
from application.errors import Unavailable, ViewBehind
from application.event_log import EventFeed
from application.export_jobs import NotThereYet, Selection
from application.exports import PIECE_ROWS, Piece
from application.queries import UserList
from infrastructure.postgres import Connection, connect
from infrastructure.views.catalogue import CHECKPOINTS, PROJECTIONS, serving
from infrastructure.views.reader import ViewReader
from infrastructure.views.standing import StandingOf
from infrastructure.views.user_filters import AnySelect
from infrastructure.views.user_versions import versions_of
from projections.users import USERS

# The first rows may wait for a sort of the whole table. A worker that stands still must not keep the
# server from vacuuming for long.
_SETTINGS: Final = """
SELECT set_config('timezone', 'UTC', false), set_config('statement_timeout', '10min', false),
       set_config('idle_in_transaction_session_timeout', '1min', false)"""
_STANDING: Final[AnySelect] = select(PROJECTIONS.c.generation, CHECKPOINTS.c.position).where(
    serving(USERS.name)
)


class PostgresUserSelection:
    """See `UserSelection`. A cursor of the server's holds the snapshot while its rows are read."""

    def __init__(
        self, database_url: str, reader: ViewReader, feed: EventFeed, doorbell: Doorbell
    ) -> None:
        self._database_url = database_url
        self._users = StandingOf(USERS, reader, feed, doorbell)

    @asynccontextmanager
    async def select(self, query: UserList, position: int) -> AsyncGenerator[Selection]:
        """See `UserSelection.select`."""
        try:
            await self._users.at_least(position)
        except ViewBehind as error:
            raise NotThereYet from error
        engine = create_async_engine(
            "postgresql+psycopg://", async_creator=self._connection, poolclass=NullPool
        )
        try:
            async with engine.connect() as connection:
                await connection.execution_options(
                    isolation_level="REPEATABLE READ", postgresql_readonly=True
                )
                yield await _selected(connection, query)
        except ProgrammingError as error:
            # The generation was dropped just now: the next run finds the one after it.
            if isinstance(error.orig, UndefinedTable):
                raise Unavailable from error
            raise
        except (DBAPIError, psycopg.OperationalError, OSError) as error:
            raise Unavailable from error
        finally:
            await engine.dispose()

    async def _connection(self) -> Connection:
        connection = await connect(self._database_url, "rollbook export")
        await connection.execute(_SETTINGS)
        return connection


async def _selected(connection: AsyncConnection, query: UserList) -> Selection:
    standing = (await connection.execute(_STANDING)).all()
    if not standing:
        raise Unavailable
    number, versions, filters = versions_of(query, standing[0][0])
    total = (await connection.execute(number, filters)).scalar_one()
    result = await connection.stream(versions, filters, execution_options={"yield_per": PIECE_ROWS})
    return Selection(min(row[1] for row in standing), total, _pieces(result))


async def _pieces(result: AsyncResult[*tuple[Any, ...]]) -> AsyncGenerator[Piece]:
    async for rows in result.partitions():
        yield Piece([row[1] for row in rows], [row[0] for row in rows])
