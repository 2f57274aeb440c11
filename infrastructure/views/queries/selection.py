"""All users that match a query, read in one snapshot: their ids and versions."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

from psycopg import AsyncCursor, IsolationLevel
from psycopg.errors import UndefinedTable
from psycopg.rows import TupleRow
from sqlalchemy import select

from application.doorbell import Doorbell
from application.errors import Unavailable, ViewBehind
from application.exports.job import NotThereYet, Selection
from application.exports.requests import PIECE_ROWS, Piece
from application.log.event_log import EventFeed
from application.projector.view_store import Slot
from application.queries.directory import UserList
from infrastructure.database import Database
from infrastructure.postgres import Connection
from infrastructure.views.queries.progress import ProjectionProgressReader
from infrastructure.views.queries.user_filters import AnySelect
from infrastructure.views.queries.user_versions import versions_of
from infrastructure.views.sql.catalogue import CHECKPOINTS, PROJECTIONS, serving
from infrastructure.views.sql.reader import TableGone, ViewReader
from infrastructure.views.sql.shapes import Shapes
from infrastructure.views.sql.statements import Statement
from projections.users import USERS, UserRow

# The first rows may wait for a sort of the whole table. The snapshot of a frozen worker must not
# block vacuum for long.
_SETTINGS: Final = """
SELECT set_config('timezone', 'UTC', false), set_config('statement_timeout', '10min', false),
       set_config('idle_in_transaction_session_timeout', '1min', false)"""
_PROGRESS: Final[AnySelect] = select(PROJECTIONS.c.generation, CHECKPOINTS.c.position).where(
    serving(USERS.name)
)


class PostgresUserSelection:
    """See `UserSelection`. A server-side cursor keeps the snapshot while its rows are read."""

    def __init__(self, database: Database, feed: EventFeed, doorbell: Doorbell) -> None:
        self._database = database
        self._shapes = Shapes(database)
        self._users = ProjectionProgressReader(USERS, ViewReader(database), feed, doorbell)

    @asynccontextmanager
    async def select(self, query: UserList, position: int) -> AsyncGenerator[Selection]:
        try:
            progress = await self._users.wait_for_position(position)
            # Read before the session is open: no task takes two places of the pool.
            slot = await self._shapes.slot(USERS, progress.generation)
        except ViewBehind as error:
            raise NotThereYet from error
        except TableGone as error:
            raise Unavailable from error
        try:
            async with self._database.session("export") as connection:
                await connection.execute(_SETTINGS)
                await connection.set_isolation_level(IsolationLevel.REPEATABLE_READ)
                await connection.set_read_only(True)
                await connection.set_autocommit(False)
                yield await _selected(connection, query, slot)
        except UndefinedTable as error:
            # The generation was dropped just now: a retry finds the next one.
            raise Unavailable from error


async def _selected(connection: Connection, query: UserList, slot: Slot[UserRow]) -> Selection:
    progress = await _rows(connection.cursor(), _PROGRESS)
    if not progress or progress[0][0] != slot.generation:
        # Another generation serves since: a retry reads that one.
        raise Unavailable
    number, versions, filters = versions_of(query, slot)
    total = (await _rows(connection.cursor(), number, filters))[0][0]
    return Selection(progress[0][1], total, _pieces(connection, versions, filters))


async def _pieces(
    connection: Connection, versions: AnySelect, filters: Mapping[str, Any]
) -> AsyncGenerator[Piece]:
    made = Statement.of(versions)
    async with connection.cursor(name="selection") as cursor:
        await cursor.execute(made.sql, {**made.constants, **filters})
        while rows := await cursor.fetchmany(PIECE_ROWS):
            yield Piece([row[1] for row in rows], [row[0] for row in rows])


async def _rows(
    cursor: AsyncCursor[TupleRow], statement: AnySelect, filters: Mapping[str, Any] | None = None
) -> list[TupleRow]:
    made = Statement.of(statement)
    await cursor.execute(made.sql, {**made.constants, **(filters or {})})
    return await cursor.fetchall()
