"""Begins generations: a number, tables, and checkpoints that are set before the first read."""

import hashlib
import sys
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import domain
import projections
from application.context import TENANT
from application.projector.generations import BuildProgress
from application.projector.view_store import Skipped, Slot
from infrastructure.postgres import Connection
from infrastructure.views.sql.ddl import create
from infrastructure.views.sql.tables import bare_rows, tables_of
from projections.projection import Projection, V

_PROJECTION: Final = """
SELECT generation FROM projections WHERE tenant = %(tenant)s AND name = %(name)s FOR UPDATE"""
_BEGUN: Final = """
SELECT generation, filled_to, filled_after, filled_events, state = 'following'
FROM generations
WHERE tenant = %(tenant)s AND projection = %(name)s AND served_at IS NULL
  AND state IN ('filling', 'following')
  AND built_with = %(code)s"""
_TAKE_OVER: Final = """
UPDATE generations SET built_by = %(by)s, touched_at = clock_timestamp()
WHERE tenant = %(tenant)s AND projection = %(name)s AND generation = %(generation)s"""
_SKIPPED: Final = """
SELECT stream, version FROM skipped
WHERE tenant = %(tenant)s AND projection = %(name)s AND removed_at IS NULL"""
# The statement that inserts the generation also reads the position; the log is read after its
# commit. So an erasure sees this generation's checkpoint, or the build reads the data as erased.
_ENTER: Final = """
INSERT INTO generations (tenant, projection, generation, partitions, state, filled_to, built_by,
    built_with, revision)
SELECT %(tenant)s, %(name)s, max(generation) + 1, 1, 'filling',
    (SELECT coalesce(max(notification_id), 0) FROM stored_events), %(by)s, %(code)s, %(revision)s
FROM generations WHERE tenant = %(tenant)s AND projection = %(name)s
RETURNING generation, filled_to"""
_CHECKPOINTS: Final = """
INSERT INTO checkpoints (tenant, projection, generation, partition, position)
VALUES (%(tenant)s, %(name)s, %(generation)s, 0, %(position)s)"""


async def resumed(
    connection: Connection, projection: Projection[V], by: str
) -> BuildProgress[V] | None:
    """The unfinished build by the same code, if any: other code could fold the rest differently."""
    given = _names(projection) | {"by": by}
    row = await (await connection.execute(_BEGUN, given)).fetchone()
    if row is None:
        return None
    generation, up_to, after, events, followed = row
    await connection.execute(_TAKE_OVER, given | {"generation": generation})
    return BuildProgress(
        slot=Slot(projection, generation),
        up_to=up_to,
        after=after,
        events=events,
        followed=followed,
        skipped=await _skipped(connection, projection),
    )


async def begun(connection: Connection, projection: Projection[V], by: str) -> BuildProgress[V]:
    """A new build, with a number that was never used."""
    given = _names(projection) | {"by": by}
    async with connection.transaction():
        # Locks the row against a concurrent switch of the serving generation.
        await connection.execute(_PROJECTION, given)
        row = await (await connection.execute(_ENTER, given)).fetchone()
        assert row is not None
        generation, position = row
        await connection.execute(
            _CHECKPOINTS, given | {"generation": generation, "position": position}
        )
        slot = Slot(projection, generation)
        # A bulk load costs half as much without indexes.
        await create(connection, bare_rows(slot))
        if (counters := tables_of(slot).counters) is not None:
            await create(connection, counters)
    return BuildProgress(
        slot=slot,
        up_to=position,
        skipped=await _skipped(connection, projection),
    )


async def _skipped(connection: Connection, projection: Projection[Any]) -> Skipped:
    rows = await (await connection.execute(_SKIPPED, _names(projection))).fetchall()
    return frozenset((stream, skipped) for stream, skipped in rows)


def code_of(projection: Projection[Any]) -> str:
    """Identifies the code of a fold: the release's version and a hash of all that a fold may use.

    That is each file of the domain and of the projections, and the file of `evolve`.
    """
    own = sys.modules[projection.evolve.__module__].__file__
    return f"{version('rollbook')} {_digest_of_sources(own or '')}"


@cache
def _digest_of_sources(own: str) -> str:
    folders = [Path(package.__path__[0]) for package in (domain, projections)]
    files = {file for folder in folders for file in folder.rglob("*.py")}
    digest = hashlib.sha256()
    for file in sorted(files | {Path(own)}):
        digest.update(file.read_bytes() if file.is_file() else b"")
    return digest.hexdigest()[:16]


def _names(projection: Projection[Any]) -> dict[str, Any]:
    return {
        "tenant": TENANT,
        "name": projection.name,
        "code": code_of(projection),
        "revision": projection.revision,
    }
