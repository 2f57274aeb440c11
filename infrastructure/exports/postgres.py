"""Exports in Postgres: the request until its rows are selected, then pieces with row references."""

from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import UUID

from psycopg.rows import TupleRow

from application.context import TENANT
from application.exports.requests import PendingExport, Piece, RequestedExport, SelectedExport
from infrastructure.database import Database
from infrastructure.postgres import Connection

_SECONDS: Final = 5.0

_RECORD: Final = """
INSERT INTO exports (tenant, id, actor, request, names, position)
VALUES (%(tenant)s, %(id)s, %(actor)s, %(request)s, %(names)s, %(position)s)
ON CONFLICT DO NOTHING RETURNING id"""
_PIECE: Final = """
SELECT users, numbers FROM export_pieces
WHERE export = %(id)s AND number = %(number)s AND tenant = %(tenant)s"""
_BEGIN: Final = """
UPDATE exports SET attempt = %(attempt)s
WHERE id = %(id)s AND tenant = %(tenant)s AND attempt <= %(attempt)s
RETURNING request, position, rows, shown"""
_CLEAR: Final = "DELETE FROM export_pieces WHERE export = %(id)s AND tenant = %(tenant)s"
# The lock on the export's row makes a later run, and a deletion of the export, wait: they then
# delete all pieces.
_ADD: Final = """
INSERT INTO export_pieces (tenant, export, number, users, numbers)
SELECT e.tenant, e.id, %(number)s, %(users)s::uuid[], %(numbers)s::bigint[]
FROM (SELECT tenant, id FROM exports
      WHERE id = %(id)s AND tenant = %(tenant)s AND attempt = %(attempt)s AND request IS NOT NULL
      FOR SHARE) AS e
ON CONFLICT (export, number, tenant) DO UPDATE
    SET users = excluded.users, numbers = excluded.numbers
RETURNING true"""
_END: Final = """
UPDATE exports SET request = NULL, rows = %(rows)s, shown = %(shown)s
WHERE id = %(id)s AND tenant = %(tenant)s AND attempt = %(attempt)s
  AND (request IS NOT NULL OR rows = %(rows)s)
RETURNING true"""
# An export whose job was never recorded will never run.
_DELETE_ORPHANS: Final = """
DELETE FROM exports e
WHERE e.request IS NOT NULL AND e.tenant = %(tenant)s AND e.asked_at < now() - interval '1 minute'
  AND NOT EXISTS (SELECT FROM jobs j WHERE j.id = e.id AND j.tenant = e.tenant)"""
_OLDEST_NAMING: Final = """
SELECT min(position) FROM exports
WHERE request IS NOT NULL AND names AND tenant = %(tenant)s"""


class PostgresExports:
    """See `Exports` and `ExportRuns`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def record(self, requested: RequestedExport) -> None:
        await self._rows(
            _RECORD,
            requested.id,
            actor=requested.actor,
            request=requested.request,
            names=requested.names,
            position=requested.position,
        )

    async def piece(self, export: UUID, number: int) -> Piece | None:
        rows = await self._rows(_PIECE, export, number=number)
        return Piece(rows[0][1], rows[0][0]) if rows else None

    async def begin(self, export: UUID, attempt: int) -> PendingExport | SelectedExport | None:
        values = {"id": export, "tenant": TENANT, "attempt": attempt}
        async with self._database.transaction(_SECONDS) as connection:
            row = await _row(connection, _BEGIN, values)
            if row is None:
                return None
            request, position, rows, shown = row
            if rows is not None:
                return SelectedExport(rows, shown)
            if request is None:
                return None
            await connection.execute(_CLEAR, values)
            return PendingExport(request, position)

    async def add(self, export: UUID, attempt: int, number: int, piece: Piece) -> bool:
        columns = {"users": list(piece.users), "numbers": list(piece.numbers)}
        return bool(await self._rows(_ADD, export, attempt=attempt, number=number, **columns))

    async def end(self, export: UUID, attempt: int, selected: SelectedExport) -> bool:
        counted = {"rows": selected.rows, "shown": selected.position}
        return bool(await self._rows(_END, export, attempt=attempt, **counted))

    async def oldest_naming(self) -> int | None:
        async with self._database.connection(_SECONDS) as connection:
            await connection.execute(_DELETE_ORPHANS, {"tenant": TENANT})
        return (await self._rows(_OLDEST_NAMING))[0][0]

    async def _rows(
        self, query: str, export: UUID | None = None, **values: Any
    ) -> Sequence[TupleRow]:
        """A statement that may be repeated after a lost reply."""
        parameters = {"id": export, "tenant": TENANT, **values}
        return await self._database.rows(query, parameters, seconds=_SECONDS)


async def _row(connection: Connection, query: str, values: Mapping[str, Any]) -> TupleRow | None:
    cursor = await connection.execute(query, values)  # pyright: ignore[reportArgumentType]
    return await cursor.fetchone()
