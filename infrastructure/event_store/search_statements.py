"""The statements of a search: a filter as SQL, by position or along the stream of one user."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from psycopg.types.numeric import Int8

from application.log.search import EventFilter
from infrastructure.event_store.stored_rows import COLUMNS, PROBED_KEY

# The planner may think that few rows match. A sort would first read them all, however many there are.
IN_ORDER: Final = b"""
SELECT set_config('enable_sort', 'off', true), set_config('enable_bitmapscan', 'off', true)"""

# A search examines so many positions, or versions of a user.
_LOOK: Final = 20_000


_SQL: Final = Path(__file__).with_name("sql")


def last_version(name: str, position: str) -> str:
    """A part of a recursive WITH; its greatest `low` is the user's last version up to a position."""
    text = _SQL.joinpath("last_version.sql").read_text()
    return text.replace("{NAME}", name).replace("{POSITION}", position)


def _with_columns(name: str) -> str:
    statement = _SQL.joinpath(name).read_text()
    return statement.replace("{COLUMNS}", COLUMNS).replace("{PROBED_KEY}", PROBED_KEY)


_BY_POSITION: Final = _with_columns("search_by_position.sql")
_BY_STREAM: Final = _with_columns("search_by_stream.sql").replace(
    "{BEGIN}", last_version("begin", "%(after)s")
)


def search_statement(after: int, wanted: EventFilter, limit: int) -> tuple[str, Mapping[str, Any]]:
    """The statement and its parameters.

    Its rows begin with the end of what was examined, which is null at the head; `COLUMNS` follow,
    which are null if nothing matched.
    """
    parameters = {
        "after": Int8(after),
        "user": wanted.user,
        "types": list(wanted.types),
        "kinds": list(wanted.kinds),
        "look": Int8(_LOOK),
        "limit": Int8(limit),
    }
    return _BY_POSITION if wanted.user is None else _BY_STREAM, parameters
