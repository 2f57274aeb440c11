"""The types and schema versions in the log, counted by one scan, in parallel if possible."""

from collections.abc import Sequence
from typing import Final

from application.log.schemas import StoredSchema
from infrastructure.database import Database

# The planner cannot know that there are only a few groups: it would sort the log in one process.
_SETTINGS: Final = """
SELECT set_config('enable_sort', 'off', false), set_config('jit', 'off', false),
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


async def stored_schemas(database: Database) -> Sequence[StoredSchema]:
    """All of them, by type and version; without a timeout, because a long log takes long.

    It writes nothing, so the server may be a replica. Raises `Unavailable`.
    """
    async with database.session("verify") as connection:
        await connection.execute(_SETTINGS)
        rows = await (await connection.execute(_STORED)).fetchall()
    return [StoredSchema(topic, version, events) for topic, version, events in sorted(rows)]
