"""The generations of the views in Postgres: one builder per projection, under an advisory lock."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Final

from application.context import TENANT
from application.projector.generations import OlderRelease, RebuildUnderWay, TooManyToDrop
from application.projector.view_store import Slot
from infrastructure.database import Database
from infrastructure.leadership import Lead, lock_key
from infrastructure.postgres import Connection
from infrastructure.views.generations.build import PostgresBuild
from infrastructure.views.generations.builds import begun, resumed
from infrastructure.views.generations.drop import drop
from infrastructure.views.generations.serving import PostgresServingShapes
from infrastructure.views.generations.switch import PostgresSwitch
from infrastructure.views.sql.errors import translate_errors
from projections.projection import Projection, V

# A candidate ends the session of a frozen builder at its first try, and leads at its second.
_TIMEOUT_SECONDS: Final = 1.0
_SECONDS: Final = 30.0

_END_FORMER_BUILDERS: Final = Path(__file__).with_name("end_former_builders.sql").read_bytes()
_OTHERS: Final = """
SELECT generation FROM generations
WHERE tenant = %(tenant)s AND projection = %(name)s AND served_at IS NULL
  AND state <> 'dropped' AND generation <> %(kept)s"""
# Each has tables, and the person of an erasure, until it is dropped.
_MAX_TO_DROP: Final = 50
_TO_DROP: Final = """
SELECT count(*) FROM generations WHERE tenant = %(tenant)s AND state = 'dropping'"""
_FINISHED: Final = """
SELECT result FROM generations
WHERE tenant = %(tenant)s AND projection = %(name)s AND built_by = %(by)s
  AND served_at IS NOT NULL AND result IS NOT NULL"""


class PostgresGenerations:
    """See `Generations`. The process's leading session holds the lock of a builder."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._serving = PostgresServingShapes(database)

    @asynccontextmanager
    async def build(self, projection: Projection[V], by: str) -> AsyncGenerator[PostgresBuild[V]]:
        async with self._alone(projection) as lead:
            await self._refuse_older_release(projection)
            async with self._short() as connection:
                given = {"tenant": TENANT, "name": projection.name}
                await connection.execute(_END_FORMER_BUILDERS, given)
                progress = await resumed(connection, projection, by)
                kept = 0 if progress is None else progress.slot.generation
                given = {"tenant": TENANT, "name": projection.name, "kept": kept}
                others = await (await connection.execute(_OTHERS, given)).fetchall()
            for (generation,) in others:
                await drop(self._database, projection.name, generation, lead=lead)
            if progress is None:
                async with self._short() as connection:
                    await _raise_if_too_many(connection)
                    progress = await begun(connection, projection, by)
            yield PostgresBuild(self._database, lead, progress)

    def switch(self, slot: Slot[Any]) -> AbstractAsyncContextManager[PostgresSwitch[Any]]:
        return PostgresSwitch[Any].open(self._database, slot)

    async def finished(self, projection: Projection[Any], by: str) -> Mapping[str, Any] | None:
        given = {"tenant": TENANT, "name": projection.name, "by": by}
        rows = await self._database.rows(_FINISHED, given)
        return rows[0][0] if rows else None

    async def _refuse_older_release(self, projection: Projection[Any]) -> None:
        _, shape = await self._serving.shape(projection)
        if shape.is_newer_than(projection):
            raise OlderRelease(OlderRelease.__doc__)

    @asynccontextmanager
    async def _alone(self, projection: Projection[Any]) -> AsyncGenerator[Lead]:
        async with AsyncExitStack() as stack:
            try:
                async with asyncio.timeout(_TIMEOUT_SECONDS):
                    lead = await stack.enter_async_context(
                        self._database.leading.lead(_lead_name(projection.name))
                    )
            except TimeoutError as error:
                raise RebuildUnderWay(RebuildUnderWay.__doc__) from error
            yield lead

    @asynccontextmanager
    async def _short(self) -> AsyncGenerator[Connection]:
        async with self._database.connection(_SECONDS) as connection:
            with translate_errors(connection):
                yield connection


async def _raise_if_too_many(connection: Connection) -> None:
    row = await (await connection.execute(_TO_DROP, {"tenant": TENANT})).fetchone()
    assert row is not None
    if row[0] > _MAX_TO_DROP:
        raise TooManyToDrop


def build_lock(projection: str) -> int:
    """The advisory lock that the builder of a generation holds."""
    return lock_key(_lead_name(projection))


def _lead_name(projection: str) -> str:
    return f"build {TENANT}/{projection}"
