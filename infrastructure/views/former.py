"""Which generation serves, and which served before it and is kept."""

from typing import Final

from sqlalchemy import text

from application.context import TENANT
from application.errors import Unavailable
from infrastructure.views.reader import ViewReader

_SERVING: Final = text("SELECT generation FROM projections WHERE tenant = :tenant AND name = :name")
_FORMER: Final = text("""
SELECT g.generation
FROM generations g JOIN projections p ON p.tenant = g.tenant AND p.name = g.projection
WHERE g.tenant = :tenant AND g.projection = :name AND g.state = 'following'
  AND g.retired_at IS NOT NULL AND g.generation <> p.generation
ORDER BY g.retired_at DESC LIMIT 1""")


class PostgresFormerGenerations:
    """See `FormerGenerations`."""

    def __init__(self, reader: ViewReader) -> None:
        self._reader = reader

    async def serving(self, projection: str) -> int:
        """See `FormerGenerations.serving`."""
        rows = await self._reader.rows(_SERVING, {"tenant": TENANT, "name": projection})
        if not rows:
            raise Unavailable
        return rows[0][0]

    async def former(self, projection: str) -> int | None:
        """See `FormerGenerations.former`."""
        rows = await self._reader.rows(_FORMER, {"tenant": TENANT, "name": projection})
        return rows[0][0] if rows else None
