"""When tokens were last used, in Postgres: beside the log, because a use changes nothing else."""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Final
from uuid import UUID

from application.context import TENANT
from infrastructure.database import Database

# In the order of the ids, so that processes do not wait for each other in a circle. A row that
# another process has just written is left as it is.
_MARK: Final = """
INSERT INTO token_uses AS known (tenant, token, last_used_at)
SELECT %s, used.token, statement_timestamp() FROM unnest(%s::uuid[]) AS used (token) ORDER BY 2
ON CONFLICT (token, tenant) DO UPDATE SET last_used_at = excluded.last_used_at
WHERE known.last_used_at < excluded.last_used_at - interval '30 seconds'
RETURNING token"""
_LAST: Final = """
SELECT u.token, u.last_used_at FROM token_uses u
WHERE u.tenant = %s AND u.token = ANY (%s::uuid[])"""


class PostgresTokenUses:
    """See `TokenUses`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def mark(self, tokens: Collection[UUID]) -> None:
        if tokens:
            await self._database.rows(_MARK, (TENANT, list(tokens)))

    async def last(self, tokens: Collection[UUID]) -> Mapping[UUID, datetime]:
        rows = await self._database.rows(_LAST, (TENANT, list(tokens))) if tokens else []
        return dict(rows)
