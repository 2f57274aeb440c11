"""Makes the tables of a generation, or what of them is missing."""

from typing import Any

from sqlalchemy import Index, Table
from sqlalchemy.schema import CreateIndex, CreateTable

from infrastructure.postgres import Connection
from infrastructure.views.sql.statements import Statement


async def create(connection: Connection, table: Table) -> None:
    """What is missing only: CREATE INDEX waits for whoever writes, even where the index exists."""
    if await is_missing(connection, table.name):
        await execute(connection, CreateTable(table))
    for index in table.indexes:
        if await is_missing(connection, str(index.name)):
            await execute(connection, CreateIndex(index))


async def missing_indexes(connection: Connection, table: Table) -> list[str]:
    """The statements that make what a bare table lacks, its primary key included.

    Those that take longest come first, so that sessions that share them end together.
    """
    key = ", ".join(column.name for column in table.primary_key)
    wanted: dict[str, str] = {}
    for index in sorted(table.indexes, key=_is_quick):
        wanted[str(index.name)] = Statement.of(CreateIndex(index)).sql.decode()
    wanted[f"{table.name}_pkey"] = f"ALTER TABLE {table.name} ADD PRIMARY KEY ({key})"
    return [sql for name, sql in wanted.items() if await is_missing(connection, name)]


def _is_quick(index: Index) -> tuple[bool, str]:
    """Words take the longest by far."""
    return index.dialect_options["postgresql"]["using"] != "gin", str(index.name)


async def is_missing(connection: Connection, name: str) -> bool:
    """Whether there is no table or index of that name."""
    cursor = await connection.execute("SELECT to_regclass(quote_ident(%s)) IS NULL", (name,))
    row = await cursor.fetchone()
    return row is not None and row[0]


async def execute(connection: Connection, clause: Any) -> None:
    """One statement of SQLAlchemy's."""
    statement = Statement.of(clause)
    # Without parameters a statement is sent as it is: DDL takes none.
    await connection.execute(statement.sql, statement.constants or None)
