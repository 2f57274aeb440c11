"""The records of reactions in Postgres, for operators."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from msgspec.structs import asdict
from psycopg.types.numeric import Int8

from application.context import TENANT
from application.reactions.admin import (
    MAX_COUNTED,
    NO_WORKER,
    ParkedUser,
    Skip,
    StoredReaction,
    StoredReactions,
)
from infrastructure.database import Database
from infrastructure.reactions.schedule import MAX_OUTAGES, hold

_SECONDS: Final = 5.0

_HERE: Final = Path(__file__).parent
_STATUS: Final = (_HERE / "status.sql").read_bytes()
_PARKED: Final = (_HERE / "parked.sql").read_bytes()
_SWITCH: Final = (_HERE / "switch.sql").read_bytes()
_RETRY: Final = b"""
UPDATE reaction_runs
SET state = 'queued', tries = 0, outages = 0, losses = 0, parked_at = NULL,
    due_at = clock_timestamp(), since = clock_timestamp()
WHERE reaction = %(name)s AND stream = %(user)s AND tenant = %(tenant)s AND state = 'parked'
RETURNING 1"""
_SKIP: Final = (_HERE / "skip.sql").read_bytes()
# An operator who retries a run has probably brought the server back.
_TRY_NOW: Final = b"""
UPDATE reactions SET paused_until = clock_timestamp()
WHERE name = %(name)s AND tenant = %(tenant)s AND paused_until > clock_timestamp()"""


class PostgresReactionRecords:
    """See `ReactionRecords`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def stored(self) -> StoredReactions:
        values = {"tenant": TENANT, "max_counted": Int8(MAX_COUNTED), "outages": MAX_OUTAGES}
        rows = await self._database.rows(_STATUS, values)
        items = [
            StoredReaction(
                name=row[0],
                enabled=row[1],
                missing=row[2],
                enabled_from=row[3],
                paused_until=row[4],
                changed_by=row[5],
                changed_at=row[6],
                queued=row[7],
                parked=row[8],
            )
            for row in rows
            if row[0] is not None
        ]
        return StoredReactions(items=items, position=rows[0][9], head=rows[0][10])

    async def parked(self, name: str, after: int, limit: int) -> Sequence[ParkedUser]:
        values = {
            "tenant": TENANT,
            "name": name,
            "after": Int8(after),
            "limit": Int8(limit),
            "max_counted": Int8(MAX_COUNTED),
        }
        return [
            ParkedUser(
                user=user,
                position=position,
                event_id=event_id,
                type=topic,
                error=error or "",
                tries=tries,
                parked_at=parked_at,
                waiting=waiting,
            )
            for user, position, event_id, topic, error, tries, parked_at, waiting in (
                await self._database.rows(_PARKED, values)
            )
        ]

    async def switch(self, name: str, actor: str, *, enabled: bool) -> None:
        values = {
            "tenant": TENANT,
            "name": name,
            "enabled": enabled,
            "missing": NO_WORKER,
            "actor": actor,
        }
        async with self._database.transaction(_SECONDS) as connection:
            await hold(connection)
            await connection.execute(_SWITCH, values)

    async def retry(self, name: str, user: UUID) -> bool:
        return await self._unpark(_RETRY, {"name": name, "user": user})

    async def skip(self, name: str, user: UUID, skip: Skip) -> bool:
        return await self._unpark(_SKIP, {"name": name, "user": user, **asdict(skip)})

    async def _unpark(self, statement: bytes, values: dict[str, Any]) -> bool:
        values["tenant"] = TENANT
        async with self._database.transaction(_SECONDS) as connection:
            row = await (await connection.execute(statement, values)).fetchone()
            await connection.execute(_TRY_NOW, values)
        return row is not None
