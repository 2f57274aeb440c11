"""The places of the workers that share the webhooks: advisory locks, so that they can be counted.

They end with the worker's leading session, as the leads of its webhooks do.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import cycle
from typing import Final

from application.context import TENANT
from infrastructure.database import Database
from infrastructure.leadership import Lead, lock_key

# More workers than this wait until one of these ends.
_PLACES: Final = [f"webhook worker {TENANT} {number}" for number in range(1, 33)]
_KEYS: Final = [lock_key(name) for name in _PLACES]
# Longer than two rounds of the leading session, so a place that is free is taken.
_TAKE_SECONDS: Final = 1.2
_HELD: Final = b"""
SELECT count(*) FROM pg_locks
WHERE locktype = 'advisory' AND granted AND objsubid = 1
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND (classid::bigint << 32 | objid::bigint) = ANY (%s)"""


@asynccontextmanager
async def take_place(database: Database) -> AsyncGenerator["Place"]:
    """Take a free place, and wait for one if there is none. Raises `Unavailable`."""
    async with AsyncExitStack() as stack:
        for name in cycle(_PLACES):
            try:
                async with asyncio.timeout(_TAKE_SECONDS):
                    lead = await stack.enter_async_context(database.leading.lead(name))
            except TimeoutError:
                continue
            yield Place(database, lead)
            return


class Place:
    """See `Membership`."""

    def __init__(self, database: Database, lead: Lead) -> None:
        self._database = database
        self._lead = lead

    async def workers(self) -> int:
        self._lead.check()
        return (await self._database.rows(_HELD, (_KEYS,)))[0][0]
