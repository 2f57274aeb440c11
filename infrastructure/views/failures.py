"""What an error of the server means for a page: its own fault, an outage, or neither."""

from typing import Final

import psycopg

from application.errors import Unavailable
from application.views import Unstorable
from infrastructure.postgres import Connection, is_broken

# Classes of SQLSTATE (appendix A of the PostgreSQL manual): cardinality, data, integrity, limits.
_THE_PAGE: Final = frozenset({"21", "22", "23", "54"})
# Connection, plan of a former table, transaction state, statement name, rollback, resources, locks,
# shutdown, disk: another try on another connection may do.
_AN_OUTAGE: Final = frozenset({"08", "0A", "25", "26", "40", "53", "55", "57", "58"})


def judged(error: psycopg.Error | OSError, connection: Connection) -> Exception:
    """The error as the port names it, or itself where it is neither the page's fault nor an outage.

    A missing table or right is neither: it would have every event parked.
    """
    if not isinstance(error, psycopg.Error) or is_broken(connection):
        return Unavailable()
    if error.sqlstate is None:
        if isinstance(error, psycopg.OperationalError):
            return Unavailable()
        return Unstorable(_reason(error)) if isinstance(error, psycopg.DataError) else error
    sqlstate_class = error.sqlstate[:2]
    if sqlstate_class in _AN_OUTAGE:
        return Unavailable()
    return Unstorable(_reason(error)) if sqlstate_class in _THE_PAGE else error


def _reason(error: psycopg.Error) -> str:
    """Names of things only: the server's message may hold values."""
    place = error.diag.constraint_name or error.diag.column_name
    return type(error).__name__ + (f" ({place})" if place else "")
