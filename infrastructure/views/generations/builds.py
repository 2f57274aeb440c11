"""Begins generations: a number, tables, and checkpoints that are set before the first read."""

import asyncio
import hashlib
import sys
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import psycopg

from application.context import TENANT
from application.errors import Unavailable
from application.projector.generations import BuildProgress, RebuildUnderWay
from application.projector.view_store import Skipped, slots_of
from infrastructure.leadership import lock_key
from infrastructure.postgres import Connection, connect
from infrastructure.views.generations.build import APPLICATION, PostgresBuild
from infrastructure.views.generations.drop import drop
from infrastructure.views.sql.ddl import create
from infrastructure.views.sql.errors import translate_errors
from infrastructure.views.sql.tables import bare_rows, tables_of
from projections.projection import Projection, V

# The server ends the session of a crashed builder in less time.
_TIMEOUT_SECONDS: Final = 10.0
_POLL_SECONDS: Final = 0.2

_TRY_LOCK: Final = "SELECT pg_try_advisory_lock(%s)"
# A crash loses a batch together with the record of it, so the batch is done again.
_SETTINGS: Final = """
SELECT set_config('synchronous_commit', 'off', false),
       set_config('default_transaction_isolation', 'read committed', false)"""
_PROJECTION: Final = """
SELECT generation FROM projections WHERE tenant = %(tenant)s AND name = %(name)s FOR UPDATE"""
_BEGUN: Final = """
SELECT generation, partitions, filled_to, filled_after, filled_events, state = 'following'
FROM generations
WHERE tenant = %(tenant)s AND projection = %(name)s AND served_at IS NULL
  AND state IN ('filling', 'following')
  AND built_with = %(code)s AND partitions = %(partitions)s"""
_TAKE_OVER: Final = """
UPDATE generations SET built_by = %(by)s, touched_at = clock_timestamp()
WHERE tenant = %(tenant)s AND projection = %(name)s AND generation = %(generation)s"""
_OTHERS: Final = """
SELECT generation FROM generations
WHERE tenant = %(tenant)s AND projection = %(name)s AND served_at IS NULL
  AND state <> 'dropped' AND generation <> %(kept)s"""
_ABANDON: Final = """
WITH abandoned AS (
    UPDATE generations SET state = 'dropping', touched_at = clock_timestamp()
    WHERE tenant = %(tenant)s AND projection = %(name)s AND served_at IS NULL
      AND state IN ('filling', 'following')
    RETURNING generation)
SELECT pg_notify('rollbook', 'generations') FROM abandoned"""
_FINISHED: Final = """
SELECT result FROM generations
WHERE tenant = %(tenant)s AND projection = %(name)s AND built_by = %(by)s
  AND served_at IS NOT NULL AND result IS NOT NULL"""
_SKIPPED: Final = """
SELECT stream, version FROM skipped WHERE tenant = %(tenant)s AND projection = %(name)s"""
# The statement that inserts the generation also reads the position; the log is read after its
# commit. So an erasure sees this generation's checkpoint, or the build reads the data as erased.
_ENTER: Final = """
INSERT INTO generations (tenant, projection, generation, partitions, state, filled_to, built_by,
    built_with)
SELECT %(tenant)s, %(name)s, max(generation) + 1, %(partitions)s, 'filling',
    (SELECT coalesce(max(notification_id), 0) FROM stored_events), %(by)s, %(code)s
FROM generations WHERE tenant = %(tenant)s AND projection = %(name)s
RETURNING generation, filled_to"""
_CHECKPOINTS: Final = """
INSERT INTO checkpoints (tenant, projection, generation, partition, position)
SELECT %(tenant)s, %(name)s, %(generation)s, partition, %(position)s
FROM generate_series(0, %(partitions)s - 1) AS partition"""
# A query may still read a generation that served a moment ago.
_RETIRE: Final = """
UPDATE generations
SET drop_after = least(drop_after, greatest(now(), retired_at + interval '60 seconds'))
WHERE tenant = %(tenant)s AND projection = %(name)s AND state = 'following'
  AND retired_at IS NOT NULL"""


class PostgresBuilds:
    """See `Builds`. The builder holds an advisory lock, which a crash releases."""

    def __init__(self, database_url: str) -> None:
        self._database_url = database_url

    @asynccontextmanager
    async def open(self, projection: Projection[V], by: str) -> AsyncGenerator[PostgresBuild[V]]:
        """See `Builds.open`."""
        async with self._alone(projection) as connection:
            progress = await _resumed(connection, projection, by)
            resumed = None if progress is None else progress.slots[0].generation
            await self._drop_others(connection, projection, resumed)
            if progress is None:
                progress = await _begun(connection, projection, by)
            yield PostgresBuild(self._database_url, connection, progress)

    async def abandon(self, projection: Projection[Any]) -> None:
        """See `Builds.abandon`."""
        async with self._connected() as connection:
            await connection.execute(_ABANDON, {"tenant": TENANT, "name": projection.name})

    async def finished(self, projection: Projection[Any], by: str) -> Mapping[str, Any] | None:
        """See `Builds.finished`."""
        async with self._connected() as connection:
            given = {"tenant": TENANT, "name": projection.name, "by": by}
            row = await (await connection.execute(_FINISHED, given)).fetchone()
        return None if row is None else row[0]

    @asynccontextmanager
    async def _alone(self, projection: Projection[Any]) -> AsyncGenerator[Connection]:
        async with self._connected() as connection:
            await _lock(connection, build_lock(projection.name))
            await connection.execute(_SETTINGS)
            yield connection

    @asynccontextmanager
    async def _connected(self) -> AsyncGenerator[Connection]:
        try:
            connection = await connect(self._database_url, APPLICATION)
        except (psycopg.Error, OSError) as error:
            raise Unavailable from error
        async with connection:
            with translate_errors(connection):
                yield connection

    async def _drop_others(
        self, connection: Connection, projection: Projection[Any], resumed: int | None
    ) -> None:
        given = {"tenant": TENANT, "name": projection.name, "kept": resumed or 0}
        rows = await (await connection.execute(_OTHERS, given)).fetchall()
        for (generation,) in rows:
            await drop(self._database_url, projection.name, generation)


def build_lock(projection: str) -> int:
    """The advisory lock that the builder of a generation holds."""
    return lock_key(f"build {TENANT}/{projection}")


def code_of(projection: Projection[Any]) -> str:
    """Identifies the code of a fold: the release's version and a hash of the fold's source."""
    source = sys.modules[projection.evolve.__module__].__file__
    text = Path(source).read_bytes() if source else b""
    return f"{version('rollbook')} {hashlib.sha256(text).hexdigest()[:16]}"


def _names(projection: Projection[Any]) -> dict[str, Any]:
    return {
        "tenant": TENANT,
        "name": projection.name,
        "code": code_of(projection),
        "partitions": projection.partitions,
    }


async def _resumed(
    connection: Connection, projection: Projection[V], by: str
) -> BuildProgress[V] | None:
    """The unfinished build by the same code, if any: other code could fold the rest differently."""
    given = _names(projection) | {"by": by}
    row = await (await connection.execute(_BEGUN, given)).fetchone()
    if row is None:
        return None
    generation, partitions, up_to, after, events, followed = row
    await connection.execute(_TAKE_OVER, given | {"generation": generation})
    return BuildProgress(
        slots=slots_of(projection, generation, partitions),
        up_to=up_to,
        after=after,
        events=events,
        followed=followed,
        skipped=await _skipped(connection, projection),
    )


async def _begun(connection: Connection, projection: Projection[V], by: str) -> BuildProgress[V]:
    given = _names(projection) | {"by": by}
    async with connection.transaction():
        # Locks the row against a concurrent switch of the serving generation.
        await connection.execute(_PROJECTION, given)
        await connection.execute(_RETIRE, given)
        row = await (await connection.execute(_ENTER, given)).fetchone()
        assert row is not None
        generation, position = row
        await connection.execute(
            _CHECKPOINTS, given | {"generation": generation, "position": position}
        )
        tables = tables_of(projection, generation)
        # A bulk load costs half as much without indexes.
        await create(connection, bare_rows(projection, generation))
        if tables.counters is not None:
            await create(connection, tables.counters)
    slots = slots_of(projection, generation, projection.partitions)
    return BuildProgress(
        slots=slots, up_to=position, skipped=await _skipped(connection, projection)
    )


async def _skipped(connection: Connection, projection: Projection[Any]) -> Skipped:
    rows = await (await connection.execute(_SKIPPED, _names(projection))).fetchall()
    return frozenset((stream, skipped) for stream, skipped in rows)


async def _lock(connection: Connection, key: int) -> None:
    deadline = asyncio.get_running_loop().time() + _TIMEOUT_SECONDS
    while True:
        row = await (await connection.execute(_TRY_LOCK, (key,))).fetchone()
        if row is not None and row[0]:
            return
        if asyncio.get_running_loop().time() > deadline:
            raise RebuildUnderWay(RebuildUnderWay.__doc__)
        await asyncio.sleep(_POLL_SECONDS)
