"""Whether Postgres can write to its disk, as the appends of this process found."""

import asyncio
from typing import Final

from structlog import get_logger

from application.errors import DiskFull
from infrastructure.database import Database

_RECHECK_SECONDS: Final = 5.0
# Postgres writes what does not fit into `work_mem` to a file, which it deletes again: about 1 MB.
_SETTINGS: Final = b"SELECT set_config('work_mem', '64kB', true)"
_PROBE: Final = "SELECT count(*) FROM generate_series(1, 50000)"

log = get_logger(__name__)


class Disk:
    """Remembers that the full disk refused an append, until an append or a probe succeeds.

    The beginning and the end are logged once.
    """

    def __init__(self, *, recheck_seconds: float = _RECHECK_SECONDS) -> None:
        self._recheck_seconds = recheck_seconds
        self._refused_at: float | None = None

    def refused(self) -> None:
        """An append failed for lack of space."""
        if self._refused_at is None:
            log.error("postgres_cannot_write", reason="its disk is full")
        self._refused_at = asyncio.get_running_loop().time()

    def wrote(self) -> None:
        """An append was recorded."""
        if self._refused_at is not None:
            log.info("postgres_writes_again")
            self._refused_at = None

    async def check(self, database: Database) -> None:
        """Raises `DiskFull`, and `Unavailable`.

        Where no command comes any more, a probe finds out whether there is space again.
        """
        if self._refused_at is None:
            return
        if asyncio.get_running_loop().time() < self._refused_at + self._recheck_seconds:
            raise DiskFull
        await database.rows(_PROBE, settings=_SETTINGS)
        self.wrote()
