"""Reads of the views through the process's pool: each uses an index, and has a timeout."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

from psycopg.errors import UndefinedTable
from sqlalchemy import ClauseElement

from infrastructure.database import Database
from infrastructure.views.sql.statements import Statement

# Each read must use an index, even if the planner's statistics are stale because a table has grown.
# The rows to return may be sorted, the rows to choose from may not.
SETTINGS: Final = b"""
SELECT set_config('jit', 'off', true), set_config('enable_seqscan', 'off', true),
       set_config('enable_sort', 'off', true), set_config('enable_hashjoin', 'off', true),
       set_config('enable_mergejoin', 'off', true)"""


class TableGone(Exception):
    """A generation was dropped since it was last read as the serving one."""


class ViewReader:
    """Retries a read until its timeout, on another connection if one was lost."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def rows(
        self,
        statement: ClauseElement,
        parameters: Mapping[str, Any] | None = None,
        *,
        planned_for_values: bool = False,
        by_key: bool = False,
    ) -> Sequence[Sequence[Any]]:
        """All rows of a query. Raises `Unavailable` and `TableGone`.

        The server reuses the plan for other values, unless `planned_for_values`. A look-up `by_key`
        has only one sensible plan, so it needs no settings. The compiled SQL is cached by statement
        object: callers pass the same object each time.
        """
        made = _as_sql(statement)
        try:
            # The server plans an unprepared statement for its values.
            return await self._database.rows(
                made.sql,
                {**made.constants, **(parameters or {})},
                prepare=not planned_for_values,
                settings=None if by_key else SETTINGS,
            )
        except UndefinedTable as error:
            raise TableGone(TableGone.__doc__) from error


@lru_cache(1024)
def _as_sql(statement: ClauseElement) -> Statement:
    return Statement.of(statement)
