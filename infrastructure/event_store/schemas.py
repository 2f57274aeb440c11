"""The types and schema versions in the log, counted by one scan, in parallel if possible."""

from collections.abc import Sequence
from typing import Final

import psycopg

from application.errors import Unavailable
from application.log.schemas import StoredSchema
from infrastructure.postgres import connect, is_outage

# The planner cannot know that there are only a few groups: it would sort the log in one process.
_SETTINGS: Final = """
SELECT set_config('enable_sort', 'off', false), set_config('jit', 'off', false),
       set_config('statement_timeout', '0', false),
       set_config('parallel_tuple_cost', '0', false), set_config('parallel_setup_cost', '0', false)"""
# The version is the last member of the stored JSON and absent if it is 1, so the last bytes show
# it. No other member can end like this: a member inside `data` is followed by one more brace. A row
# that is no JSON causes no error here.
_STORED: Final = r"""
SELECT topic,
       CASE WHEN substring(state FROM octet_length(state) - 1 FOR 1) BETWEEN '\x30' AND '\x39'
            THEN coalesce(substring(encode(substring(state FROM greatest(octet_length(state) - 15, 1)),
                                           'escape')
                                    FROM ',"v":([0-9]{1,9})\}$')::int, 1)
            ELSE 1 END AS version,
       count(*)
FROM stored_events GROUP BY topic, version"""


class PostgresStoredSchemas:
    """Reads the types and schema versions; it writes nothing, so the server may be a replica."""

    def __init__(self, database_url: str) -> None:
        self._database_url = database_url

    async def stored(self) -> Sequence[StoredSchema]:
        """All of them, by type and version; without a timeout, because a long log takes long.

        Raises `Unavailable`.
        """
        try:
            connection = await connect(self._database_url, "rollbook verify")
        except (psycopg.Error, OSError) as error:
            raise Unavailable from error
        try:
            async with connection:
                await connection.execute(_SETTINGS)
                rows = await (await connection.execute(_STORED)).fetchall()
        except (psycopg.Error, OSError) as error:
            if is_outage(error, connection):
                raise Unavailable from error
            raise
        return [StoredSchema(topic, version, events) for topic, version, events in sorted(rows)]
