"""The views in Postgres: the leader of a slot writes its views."""

from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from application.log.follower import NotLeading
from application.projector.view_store import Slot, ViewWriter
from infrastructure.leadership import LeadingSession
from infrastructure.postgres import Connection
from infrastructure.views.projector.partition_balance import PartitionBalance
from infrastructure.views.projector.writer import PostgresViewWriter
from infrastructure.views.sql.errors import translate_errors
from infrastructure.views.sql.slot_lock import lead_session
from infrastructure.views.sql.statements import statements_of
from projections.projection import V


class PostgresViewStore:
    """See `ViewStore`. Each leader has its own direct connection: locks belong to sessions."""

    def __init__(self, database_url: str) -> None:
        self._database_url = database_url
        self._balances: dict[tuple[str, int], PartitionBalance] = {}

    @asynccontextmanager
    async def lead(self, slot: Slot[V]) -> AsyncGenerator[ViewWriter[V]]:
        """See `ViewStore.lead`."""
        async with self._session(slot) as session:
            with translate_errors(session.connection):
                position = await _position(session.connection, slot)
            yield PostgresViewWriter(session, slot, position)

    def _session(self, slot: Slot[Any]) -> AbstractAsyncContextManager[LeadingSession]:
        if slot.projection.partitions == 1:
            return lead_session(self._database_url, slot)
        generation = (slot.projection.name, slot.generation)
        if generation not in self._balances:
            self._balances[generation] = PartitionBalance(self._database_url, slot)
        return self._balances[generation].lead(slot)


async def _position(connection: Connection, slot: Slot[Any]) -> int:
    statement = statements_of(slot).position
    cursor = await connection.execute(statement.sql, statement.constants, binary=True)
    row = await cursor.fetchone()
    if row is None:
        # The generation was dropped since this process read it.
        raise NotLeading(NotLeading.__doc__)
    return row[0]
