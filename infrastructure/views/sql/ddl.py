"""Creates the tables of a generation and their indexes."""

from sqlalchemy import Index, Table
from sqlalchemy.schema import CreateIndex, CreateTable

from infrastructure.postgres import Connection
from infrastructure.views.sql.statements import Statement


async def create(connection: Connection, table: Table) -> None:
    """Creates only what is missing: CREATE INDEX waits for writers, even if the index exists."""
    if await is_missing(connection, table.name):
        await connection.execute(Statement.of(CreateTable(table)).sql)
    for index in table.indexes:
        if await is_missing(connection, str(index.name)):
            await connection.execute(Statement.of(CreateIndex(index)).sql)


async def missing_indexes(connection: Connection, table: Table) -> list[str]:
    """The statements that create a bare table's missing indexes, including its primary key.

    The slowest come first, so that sessions that share the work end at about the same time.
    """
    key = ", ".join(column.name for column in table.primary_key)
    wanted: dict[str, str] = {}
    for index in sorted(table.indexes, key=_is_quick):
        wanted[str(index.name)] = Statement.of(CreateIndex(index)).sql.decode()
    wanted[f"{table.name}_pkey"] = f"ALTER TABLE {table.name} ADD PRIMARY KEY ({key})"
    return [sql for name, sql in wanted.items() if await is_missing(connection, name)]


def _is_quick(index: Index) -> tuple[bool, str]:
    """The sort key: the slow GIN indexes of words first."""
    return index.dialect_options["postgresql"]["using"] != "gin", str(index.name)


async def is_missing(connection: Connection, name: str) -> bool:
    """Whether no table or index of that name exists."""
    cursor = await connection.execute("SELECT to_regclass(quote_ident(%s)) IS NULL", (name,))
    row = await cursor.fetchone()
    return row is not None and row[0]
