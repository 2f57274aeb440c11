"""Translates the server's errors: bad data, an outage, or neither."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

import psycopg

from application.projector.view_store import Unstorable
from infrastructure.postgres import Connection, is_outage, unavailable

# Classes of SQLSTATE (appendix A of the PostgreSQL manual): cardinality, data, integrity, limits.
_DATA_ERROR_CLASSES: Final = frozenset({"21", "22", "23", "54"})


@contextmanager
def translate_errors(connection: Connection) -> Generator[None]:
    """Translates the server's errors in the block to `Unavailable` and `Unstorable`.

    A missing table or permission is not translated: as `Unstorable` it would park every event.
    """
    try:
        yield
    except (psycopg.Error, OSError) as error:
        if is_outage(error, connection):
            raise unavailable(error) from error
        if isinstance(error, psycopg.Error) and _is_data_error(error):
            raise Unstorable(_reason(error)) from error
        raise


def _is_data_error(error: psycopg.Error) -> bool:
    if error.sqlstate is None:
        return isinstance(error, psycopg.DataError)
    return error.sqlstate[:2] in _DATA_ERROR_CLASSES


def _reason(error: psycopg.Error) -> str:
    """Contains only names: the server's message may contain personal values."""
    place = error.diag.constraint_name or error.diag.column_name
    return type(error).__name__ + (f" ({place})" if place else "")
