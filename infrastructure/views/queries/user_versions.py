"""The statements for all users that match: their number, and their ids and versions in order."""

from typing import Any, Final

from sqlalchemy import false, func, select

from application.projector.view_store import Slot
from application.queries.directory import UserList
from infrastructure.views.queries.user_filters import (
    LISTED,
    SORT_COLUMNS,
    AnySelect,
    Filter,
    can_match,
    check_columns,
    has_words,
    is_any,
    prefix,
    query_words,
)
from infrastructure.views.sql.tables import tables_of
from projections.users import UserRow

_PLAIN: Final[tuple[Filter, ...]] = ("ids", "external_ids", "emails", "roles")


def versions_of(
    query: UserList, slot: Slot[UserRow]
) -> tuple[AnySelect, AnySelect, dict[str, Any]]:
    """Two statements: the number of matching users, and their ids and versions in order.

    They ignore the page's limit and cursor, and both have the same parameters. Raises
    `Unavailable` if the slot lacks a column that the query needs.
    """
    check_columns(query, slot)
    rows = tables_of(slot).rows
    parameters: dict[str, Any] = {"statuses": list(query.statuses or LISTED)}
    # A stream without a view has no status, so it never matches.
    conditions = [is_any(rows, "statuses")]
    for name in _PLAIN:
        if values := list(getattr(query, name)):
            parameters[name] = values
            conditions.append(is_any(rows, name))
    if not can_match(query):
        conditions.append(false())
    elif words := query_words(query.words or ""):
        parameters["words"] = " & ".join(map(prefix, words))
        conditions.append(has_words(rows.c.words))
    places = (rows.c[SORT_COLUMNS[query.sort]], rows.c.id)
    order = [place.desc() if query.descending else place for place in places]
    number: AnySelect = select(func.count()).select_from(rows).where(*conditions)
    versions: AnySelect = select(rows.c.id, rows.c.version).where(*conditions).order_by(*order)
    return number, versions, parameters
