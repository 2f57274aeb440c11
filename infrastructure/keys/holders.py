"""The master key that each running process uses for new keys, read from its sessions' names.

A session's name is visible until its process ends and the database has ended the session.
"""

import os
from collections.abc import Sequence
from typing import Final

import psycopg

from application.errors import Unavailable
from application.keys.rotation import KeyHolder
from infrastructure.postgres import answered_within, connect

_SECONDS: Final = 5.0

_HOLDERS: Final = r"""
SELECT DISTINCT mark[2] AS master_id, mark[1]::bigint AS process, host(client_addr) AS address
FROM pg_stat_activity, regexp_match(application_name, ' pid=(\d+) key=([0-9a-f]{8})$') AS mark
WHERE datname = current_database() AND mark IS NOT NULL
ORDER BY master_id, address, process"""


def session_mark(master_id: str) -> str:
    """The suffix that this process adds to the names of its sessions on the log."""
    return f" pid={os.getpid()} key={master_id}"


class PostgresKeyHolders:
    """See `KeyHolders`; each read opens its own connection."""

    def __init__(self, database_url: str) -> None:
        self._database_url = database_url

    async def holders(self) -> Sequence[KeyHolder]:
        """See `KeyHolders.holders`."""
        try:
            async with (
                await connect(self._database_url, "rollbook keys") as connection,
                answered_within(_SECONDS, connection),
            ):
                rows = await (await connection.execute(_HOLDERS)).fetchall()
        except (psycopg.Error, OSError) as error:
            raise Unavailable from error
        return [
            KeyHolder(master_id=master_id, process=process, address=address)
            for master_id, process, address in rows
        ]
