"""The relay's ledger in Postgres: a fenced checkpoint, in the same table as the projectors'."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import msgspec
import psycopg

from application.context import TENANT
from application.errors import Unavailable
from application.log.follower import NotLeading
from application.messaging.relay import Progress, SetAside
from infrastructure.leadership import LeadingSession
from infrastructure.postgres import answered_within, is_outage

_REPLY_SECONDS: Final = 5.0

_BEGIN: Final = b"""
INSERT INTO checkpoints (tenant, projection, generation, partition, position)
VALUES (%(tenant)s, 'relay', 1, 0, 0) ON CONFLICT DO NOTHING"""
_POSITION: Final = b"""
SELECT position FROM checkpoints
WHERE tenant = %(tenant)s AND projection = 'relay' AND generation = 1 AND partition = 0"""
_ADVANCE: Final = Path(__file__).with_name("advance.sql").read_bytes()


class PostgresRelayLedger:
    """See `RelayLedger`. Each leader has its own direct connection: locks belong to sessions."""

    def __init__(self, database_url: str) -> None:
        self._database_url = database_url

    @asynccontextmanager
    async def lead(self) -> AsyncGenerator[Progress]:
        """See `RelayLedger.lead`."""
        name = f"relay {TENANT}"
        async with LeadingSession.open(self._database_url, name, "rollbook relay") as session:
            await _execute(session, _BEGIN)
            yield _Progress(session, await _execute(session, _POSITION))


class _Progress:
    def __init__(self, session: LeadingSession, position: int) -> None:
        self._session = session
        self._position = position

    @property
    def position(self) -> int:
        """See `Progress.position`."""
        self._session.check()
        return self._position

    async def advance(self, reached: int, set_aside: Sequence[SetAside]) -> None:
        """See `Progress.advance`."""
        moved = await _execute(
            self._session,
            _ADVANCE,
            reached=reached,
            position=self._position,
            set_aside=msgspec.json.encode(set_aside).decode(),
        )
        if not moved:
            raise NotLeading(NotLeading.__doc__)
        self._position = reached


async def _execute(session: LeadingSession, statement: bytes, **parameters: Any) -> int:
    """The number that a statement returns, 0 if it returns nothing."""
    connection = session.connection
    try:
        async with session.turn, answered_within(_REPLY_SECONDS, connection):
            cursor = await connection.execute(statement, {"tenant": TENANT, **parameters})
            row = await cursor.fetchone() if cursor.description else None
    except (psycopg.Error, OSError) as error:
        if is_outage(error, connection):
            raise Unavailable from error
        raise
    return row[0] if row else 0
