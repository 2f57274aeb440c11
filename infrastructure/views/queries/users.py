"""Users as SQL: one user with the view's position, and pages of users with their parameters."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Final

from sqlalchemy import Uuid, and_, bindparam, select

from application.projector.view_store import Slot
from application.queries.directory import ListCursor, SortField, UserList, UserPage
from infrastructure.views.queries.user_filters import (
    LISTED,
    WORD_SORTS,
    AnySelect,
    Filter,
    check_columns,
    prefix,
    query_words,
)
from infrastructure.views.queries.user_pages import page_statement
from infrastructure.views.queries.user_walks import FIELDS, Shape, numbered
from infrastructure.views.sql.catalogue import CHECKPOINTS, PROJECTIONS, serving
from infrastructure.views.sql.statements import column_of
from infrastructure.views.sql.tables import tables_of
from projections.users import USERS, UserRow, UserView

# Each status of each role has its own walk, and the walks are merged, unless there are too many.
_MAX_WALKS: Final = 8
# How many rows a search walks in the list's order at first, and how many more at most.
_PROBE_ROWS: Final = 1000
_MAX_FURTHER_ROWS: Final = 16_000
# At most this many words, the longest, are looked up; a hit must have all words.
_MAX_LOOKED_UP: Final = 6
_BEHIND_ALL: Final = "\U0010ffff"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


def user_of(row: Sequence[Any]) -> UserView:
    """The user of a row with the view's fields, in their order."""
    return UserView(**dict(zip(FIELDS, row, strict=True)))


@lru_cache
def one_user(slot: Slot[UserRow]) -> AnySelect:
    """The serving generation, its position and the fields of user `id`.

    Read atomically in one round trip; the fields are NULL if there is no such user.
    """
    rows = tables_of(slot).rows
    fields = [column_of(slot, rows, name) for name in FIELDS]
    return (
        select(PROJECTIONS.c.generation, CHECKPOINTS.c.position, *fields)
        .join_from(PROJECTIONS, CHECKPOINTS, serving(USERS.name))
        .outerjoin(rows, and_(rows.c.id == bindparam("id", type_=Uuid()), rows.c.shown))
    )


def page_query(query: UserList, slot: Slot[UserRow]) -> tuple[AnySelect, dict[str, Any]]:
    """The statement for a page and one row more, and its parameters.

    A row has the fields of the view, then its sort key. Raises `Unavailable` if the slot lacks a
    column that the query needs.
    """
    check_columns(query, slot)
    wanted = query.limit + 1
    words = query_words(query.words or "")
    all_roles = _once(query.roles)
    values: dict[Filter, Any] = {
        "ids": _once(query.ids),
        "external_ids": _once(query.external_ids),
        "emails": _once(query.emails),
        "roles": all_roles,
        "words": " & ".join(map(prefix, words)),
    }
    given: dict[Filter, Any] = {name: value for name, value in values.items() if value}
    statuses = _once(query.statuses or LISTED)
    roles = all_roles if len(statuses) * len(all_roles) <= _MAX_WALKS else []
    parameters: dict[str, Any] = {
        **given,
        **dict(zip(numbered("status", len(statuses)), statuses, strict=True)),
        **dict(zip(numbered("role", len(roles)), roles, strict=True)),
        "statuses": statuses,
        "limit": wanted,
    }
    if words:
        parameters["probe"] = max(wanted, _PROBE_ROWS)
        parameters["look"] = _MAX_FURTHER_ROWS
        parameters["each_word"] = [prefix(w) for w in sorted(words, key=len)[-_MAX_LOOKED_UP:]]
    by_word = len(words) == 1 and query.sort in WORD_SORTS and len(roles) == len(all_roles)
    if by_word:
        parameters["word"] = words[0]
        parameters["word_end"] = words[0] + _BEHIND_ALL
        parameters["each_word"] = [prefix(words[0], without=query.sort)]
    if query.after is not None:
        parameters["key"] = _parsed_key(query.sort, query.after.key)
        parameters["id"] = query.after.id
    shape = Shape(
        slot=slot,
        sort=query.sort,
        descending=query.descending,
        filters=frozenset(given),
        statuses=len(statuses),
        roles=len(roles),
        later=query.after is not None,
        by_word=by_word,
    )
    return page_statement(shape), parameters


def page_of(query: UserList, rows: Sequence[Sequence[Any]]) -> UserPage:
    """The page from the rows of `page_query`."""
    items = [user_of(row[:-1]) for row in rows[: query.limit]]
    if len(rows) <= query.limit:
        return UserPage(items, None)
    key = rows[query.limit - 1][-1]
    return UserPage(items, ListCursor(_written_key(key), items[-1].id))


def _once(values: Sequence[Any]) -> list[Any]:
    """The values without duplicates: each value gets its own walk."""
    return list(dict.fromkeys(values))


def _written_key(key: str | datetime) -> str:
    return key if isinstance(key, str) else str((key - _EPOCH) // _MICROSECOND)


def _parsed_key(sort: SortField, key: str) -> str | datetime:
    """The key that `_written_key` wrote: a cursor is sealed and valid only for its own order."""
    return key if sort in ("name", "email") else _EPOCH + int(key) * _MICROSECOND
