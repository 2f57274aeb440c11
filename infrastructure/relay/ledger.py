"""The relay's ledger in Postgres: a fenced checkpoint, in the same table as the projectors'."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import msgspec

from application.context import TENANT
from application.log.follower import NotLeading
from application.messaging.relay import Progress, SetAside
from infrastructure.database import Database
from infrastructure.leadership import Lead

LEADER: Final = f"relay {TENANT}"
"""The name under which the relay leads."""

_SECONDS: Final = 5.0

# A crash loses the last pages together with their checkpoint, so they are published again.
_SETTINGS: Final = b"SELECT set_config('synchronous_commit', 'off', true)"

_BEGIN: Final = b"""
INSERT INTO checkpoints (tenant, projection, generation, partition, position)
VALUES (%(tenant)s, 'relay', 1, 0, 0) ON CONFLICT DO NOTHING"""
_POSITION: Final = b"""
SELECT position FROM checkpoints
WHERE tenant = %(tenant)s AND projection = 'relay' AND generation = 1 AND partition = 0"""
_ADVANCE: Final = Path(__file__).with_name("advance.sql").read_bytes()


class PostgresRelayLedger:
    """See `RelayLedger`. The process's leading session holds the lock of the relay."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @asynccontextmanager
    async def lead(self) -> AsyncGenerator[Progress]:
        async with self._database.leading.lead(LEADER) as lead:
            async with self._database.connection(_SECONDS) as connection:
                await connection.execute(_BEGIN, {"tenant": TENANT})
            rows = await self._database.rows(_POSITION, {"tenant": TENANT})
            yield _Progress(self._database, lead, rows[0][0])


class _Progress:
    def __init__(self, database: Database, lead: Lead, position: int) -> None:
        self._database = database
        self._lead = lead
        self._position = position

    @property
    def position(self) -> int:
        self._lead.check()
        return self._position

    async def advance(self, reached: int, set_aside: Sequence[SetAside]) -> None:
        values = {
            "tenant": TENANT,
            "reached": reached,
            "position": self._position,
            "set_aside": msgspec.json.encode(set_aside).decode(),
        }
        # If a reply is lost, the retry finds the checkpoint moved, as if by another leader.
        rows = await self._database.rows(_ADVANCE, values, seconds=_SECONDS, settings=_SETTINGS)
        if not rows[0][0]:
            raise NotLeading(NotLeading.__doc__)
        self._position = reached
