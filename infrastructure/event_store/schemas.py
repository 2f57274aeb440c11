"""The types and schema versions in the log: one scan of it, in parallel where the server can."""

from collections.abc import Sequence
from typing import Final

import psycopg

from application.errors import Unavailable
from application.log.schemas import StoredSchema
from infrastructure.postgres import connect, is_outage

# The planner cannot know that there are a few groups only: a sort of the log is what it would do,
# in one process.
_SETTINGS: Final = """
SELECT set_config('enable_sort', 'off', false), set_config('jit', 'off', false),
       set_config('statement_timeout', '0', false),
       set_config('parallel_tuple_cost', '0', false), set_config('parallel_setup_cost', '0', false)"""
# The version is the last member of the stored form, absent where it is 1: its last bytes tell it.
# Nothing else can end so: what ends inside `data` has one more brace. A row that is no JSON at all
# stops nobody here.
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
    """See `StoredSchemas`. The server may be a replica: nothing is written."""

    def __init__(self, database_url: str) -> None:
        self._database_url = database_url

    async def stored(self) -> Sequence[StoredSchema]:
        """See `StoredSchemas.stored`; a long log takes its time, however long."""
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
