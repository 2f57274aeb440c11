"""The wrapped keys in Postgres: read in order, and replaced only if not changed since."""

from collections.abc import AsyncGenerator, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Final
from uuid import UUID

from psycopg.rows import TupleRow

from application.keys.rotation import Rewrapped, WrappedKey
from application.log.event_log import StreamKey
from infrastructure.database import Database
from infrastructure.postgres import Connection, answered_within

_SECONDS: Final = 30.0
_COUNT_SECONDS: Final = 300.0

# Each batch scans the primary key, although a rotation of the whole table makes the planner's
# statistics stale. A commit waits for the disk even if the database's default is weaker.
_SETTINGS: Final = """
SELECT set_config('enable_seqscan', 'off', false), set_config('enable_bitmapscan', 'off', false),
       set_config('enable_hashjoin', 'off', false), set_config('enable_mergejoin', 'off', false),
       set_config('enable_sort', 'off', false), set_config('jit', 'off', false),
       set_config('statement_timeout', '0', false),
       set_config('synchronous_commit',
                  CASE current_setting('synchronous_commit') WHEN 'off' THEN 'on' WHEN 'local' THEN 'on'
                       ELSE current_setting('synchronous_commit') END, false)"""

# The index key is one more key, with the log's id as its subject.
_COUNTS: Final = """
SELECT master_id, sum(keys)::bigint
FROM (SELECT master_id, count(*) AS keys FROM subject_keys GROUP BY master_id
      UNION ALL SELECT index_master_id, 1 FROM log) AS counted
GROUP BY master_id"""
_WRAPPED: Final = """
SELECT subject, master_id, wrapped
FROM (SELECT subject, master_id, wrapped FROM subject_keys
      UNION ALL SELECT id, index_master_id, index_key FROM log) AS keys
WHERE subject > %s AND master_id = ANY (%s)
ORDER BY subject LIMIT %s"""
# An erasure waits for a key's row while it holds the log's lock. So a rotation locks rows for one
# statement only and skips rows that are locked: neither blocks the other for long. The row of the
# log is locked first: a run that was frozen while another rotation began replaces nothing.
_REPLACE: Final = """
WITH current AS MATERIALIZED (
    SELECT master_id FROM log FOR NO KEY UPDATE
), new AS MATERIALIZED (
    SELECT * FROM unnest(%s::uuid[], %s::bytea[], %s::text[], %s::bytea[])
        AS given(subject, old, master_id, wrapped)
    JOIN current USING (master_id)
), free AS MATERIALIZED (
    SELECT k.subject, k.tenant, new.master_id, new.wrapped
    FROM new JOIN subject_keys k ON k.subject = new.subject AND k.wrapped = new.old
    FOR NO KEY UPDATE OF k SKIP LOCKED
), data_keys AS (
    UPDATE subject_keys k SET master_id = free.master_id, wrapped = free.wrapped
    FROM free WHERE k.subject = free.subject AND k.tenant = free.tenant
    RETURNING k.subject
), index_key AS (
    UPDATE log SET index_master_id = new.master_id, index_key = new.wrapped
    FROM new WHERE log.id = new.subject AND log.index_key = new.old
    RETURNING log.id
)
SELECT (SELECT count(*) FROM data_keys) + (SELECT count(*) FROM index_key)"""
# Under the lock of the append function: every key that it has accepted is then committed.
_MAKE_CURRENT: Final = """
WITH locked AS MATERIALIZED (SELECT pg_advisory_xact_lock(1383034987, 1))
UPDATE log SET master_id = %s FROM locked RETURNING log.id"""

# Jumps from one id to the next in the index: as fast with ten million keys as with ten.
_MASTERS: Final = """
WITH RECURSIVE ids(master_id) AS (
    SELECT min(master_id) FROM subject_keys
    UNION ALL
    SELECT (SELECT min(k.master_id) FROM subject_keys k WHERE k.master_id > ids.master_id)
    FROM ids WHERE ids.master_id IS NOT NULL
)
SELECT master_id FROM ids WHERE master_id IS NOT NULL
UNION SELECT index_master_id FROM log"""

_KEYS_OF: Final = (
    "SELECT count(*) FROM (SELECT FROM subject_keys WHERE master_id = %s LIMIT 101) AS k"
)
_KEYS: Final = "SELECT count(*) FROM (SELECT FROM subject_keys LIMIT 10000) AS k"
_RARE: Final = 0.01


async def is_rare(connection: Connection, master_id: str) -> bool:
    """Whether a master key wraps at most one key in a hundred, and not the index key: such keys
    are broken rows of single people, not a master key that was removed too early.
    """
    row = await (await connection.execute("SELECT index_master_id FROM log")).fetchone()
    if row == (master_id,):
        return False
    wrapped = await (await connection.execute(_KEYS_OF, (master_id,))).fetchone()
    keys = await (await connection.execute(_KEYS)).fetchone()
    assert wrapped is not None, "a count has one row"
    assert keys is not None, "a count has one row"
    return wrapped[0] <= _RARE * keys[0]


async def master_ids(connection: Connection) -> frozenset[str]:
    """The ids of all master keys that wrap a key of the log."""
    return frozenset(row[0] for row in await (await connection.execute(_MASTERS)).fetchall())


def key_stores(database: Database) -> Callable[[], AbstractAsyncContextManager["PostgresKeyStore"]]:
    """Opens a store, which is a long use of the pool. Raises `Unavailable`."""

    @asynccontextmanager
    async def open_store() -> AsyncGenerator[PostgresKeyStore]:
        async with database.session("keys") as connection:
            await connection.execute(_SETTINGS)
            yield PostgresKeyStore(connection)

    return open_store


@asynccontextmanager
async def open_key_store(database_url: str) -> AsyncGenerator["PostgresKeyStore"]:
    """A store for a command, with a connection of its own. Raises `Unavailable`."""
    async with Database.open(database_url, size=1) as database, key_stores(database)() as store:
        yield store


class PostgresKeyStore:
    """See `KeyStore`; an outage is `Unavailable` where the session of its connection ends."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def counts(self) -> Mapping[str, int]:
        return dict(await self._rows(_COUNTS, (), seconds=_COUNT_SECONDS))

    async def wrapped(
        self, by: Collection[str], *, after: UUID, limit: int
    ) -> Sequence[WrappedKey]:
        # If few keys are left, the statement may read all keys to find them.
        rows = await self._rows(_WRAPPED, (after, list(by), limit), seconds=_COUNT_SECONDS)
        return [WrappedKey(subject, StreamKey(name, key)) for subject, name, key in rows]

    async def current(self) -> str | None:
        """The id of the current master key, None if there is no log yet."""
        rows = await self._rows("SELECT master_id FROM log", ())
        return rows[0][0] if rows else None

    async def make_current(self, master_id: str) -> None:
        await self._rows(_MAKE_CURRENT, (master_id,))

    async def replace(self, keys: Sequence[Rewrapped]) -> int:
        columns = (
            [key.subject for key in keys],
            [key.old.wrapped for key in keys],
            [key.new.master_id for key in keys],
            [key.new.wrapped for key in keys],
        )
        rows = await self._rows(_REPLACE, columns)
        return rows[0][0]

    async def _rows(
        self, query: str, parameters: Sequence[Any], *, seconds: float = _SECONDS
    ) -> list[TupleRow]:
        async with answered_within(seconds, self._connection):
            cursor = self._connection.cursor(binary=True)
            await cursor.execute(query, parameters)  # pyright: ignore[reportArgumentType]
            return await cursor.fetchall()
