"""A pool of migrated databases for tests: a reset takes a tenth of the time of a new database."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, Final

import psycopg
from psycopg import sql

from tests.support.servers.postgres import create_database, drop_database

_END_SESSIONS: Final = """
SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()"""
_TABLES: Final = """
SELECT relname, pg_relation_size(oid) > 0 FROM pg_class
WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"""
_USED_SEQUENCES: Final = """
SELECT sequencename FROM pg_sequences WHERE schemaname = 'public' AND last_value IS NOT NULL"""
# A hash of all that a test may change and that a reset does not undo.
_FINGERPRINT: Final = """
SELECT md5(string_agg(part, '|' ORDER BY part)) FROM (
    SELECT concat_ws(' ', 'relation', oid, relname, relkind, relhastriggers, reloptions, relacl)
    FROM pg_class WHERE relnamespace = 'public'::regnamespace
    UNION ALL
    SELECT concat_ws(' ', 'column', attrelid, attname, atttypid, attnotnull, atthasdef)
    FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
    WHERE relnamespace = 'public'::regnamespace AND attnum > 0
    UNION ALL
    SELECT concat_ws(' ', 'function', oid, proname, md5(prosrc), proconfig)
    FROM pg_proc WHERE pronamespace = 'public'::regnamespace
    UNION ALL
    SELECT concat_ws(' ', 'index', indexrelid, indisvalid)
    FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
    WHERE relnamespace = 'public'::regnamespace
    UNION ALL
    SELECT concat_ws(' ', 'trigger', oid, tgname, tgenabled) FROM pg_trigger
    UNION ALL
    SELECT concat_ws(' ', 'constraint', oid, conname)
    FROM pg_constraint WHERE connamespace = 'public'::regnamespace
    UNION ALL
    SELECT concat_ws(' ', 'type', oid) FROM pg_type WHERE typnamespace = 'public'::regnamespace
    UNION ALL
    SELECT concat_ws(' ', 'schema', nspname)
    FROM pg_namespace WHERE nspname !~ '^pg_(toast_)?temp'
    UNION ALL
    SELECT concat_ws(' ', 'extension', extname) FROM pg_extension
    UNION ALL
    SELECT concat_ws(' ', 'statistics', oid) FROM pg_statistic_ext
    UNION ALL
    SELECT concat_ws(' ', 'setting', setconfig)
    FROM pg_db_role_setting
    WHERE setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database())
) AS parts (part)"""
_SCHEMA_VERSION: Final = "alembic_version"


class Databases:
    """Copies of one migrated template. One test at a time uses a copy, which starts empty."""

    def __init__(self, server: str, template: str) -> None:
        self._server = server
        self._template = template
        self._free: list[_Database] = []

    @contextmanager
    def borrow(self) -> Generator[str]:
        """The URL of a database as the migrations leave it; reset or dropped at the end."""
        database = self._free.pop() if self._free else _Database(self._server, self._template)
        try:
            yield database.url
        finally:
            if database.reset():
                self._free.append(database)
            else:
                drop_database(self._server, database.url)

    def close(self) -> None:
        """Drop all free databases."""
        for database in self._free:
            drop_database(self._server, database.url)


class _Database:
    def __init__(self, server: str, template: str) -> None:
        self.url = create_database(server, template)
        with self._connection() as connection:
            self._tables = {row[0] for row in connection.execute(_TABLES)}
            self._fingerprint = _fingerprint(connection)

    def reset(self) -> bool:
        """Restore the migrated state; False if that fails or a test changed more than rows."""
        try:
            with self._connection() as connection:
                connection.execute(_END_SESSIONS)
                tables = connection.execute(_TABLES).fetchall()
                added = [name for name, _ in tables if name not in self._tables]
                with_rows = [
                    name
                    for name, has_rows in tables
                    if has_rows and name in self._tables and name != _SCHEMA_VERSION
                ]
                with connection.transaction():
                    if added:
                        connection.execute(_for_names("DROP TABLE {} CASCADE", added))
                    if with_rows:
                        connection.execute(_for_names("TRUNCATE {} CASCADE", with_rows))
                    for row in connection.execute(_USED_SEQUENCES).fetchall():
                        connection.execute(_for_names("ALTER SEQUENCE {} RESTART", row))
                connection.execute("SELECT pg_stat_reset()")
                return _fingerprint(connection) == self._fingerprint
        except psycopg.Error:
            # The database refuses connections or was dropped: the next test gets a new one.
            return False

    def _connection(self) -> psycopg.Connection[Any]:
        return psycopg.connect(self.url, autocommit=True)


def _for_names(statement: str, names: list[str] | tuple[str, ...]) -> sql.Composed:
    identifiers = sql.SQL(", ").join(map(sql.Identifier, names))
    return sql.SQL(statement).format(identifiers)  # pyright: ignore[reportArgumentType]


def _fingerprint(connection: psycopg.Connection[Any]) -> str:
    row = connection.execute(_FINGERPRINT).fetchone()
    assert row is not None
    return row[0]
