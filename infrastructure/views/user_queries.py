"""Users as SQL: one of them with its standing, and what a page of them is asked and answered with."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Final

from sqlalchemy import Uuid, and_, bindparam, select

from application.queries import ListCursor, SortField, UserList, UserPage
from infrastructure.views.catalogue import CHECKPOINTS, PROJECTIONS, serving
from infrastructure.views.tables import tables_of
from infrastructure.views.user_filters import LISTED, AnySelect, Filter, prefixes
from infrastructure.views.user_pages import FIELDS, Shape, page_statement, status_names
from projections.users import USERS, UserView

# How far a search walks in the list's order: sixty rows for each that is wanted, and what one
# query may cost where many statuses and roles are asked for.
_LOOK_A_ROW: Final = 60
_LOOK_LEAST: Final = 1000
_LOOK_MOST: Final = 6000
_LOOK_OF_ALL: Final = 12_000
# Of more words than that the longest are looked up; all of them count.
_WORDS_LOOKED_UP: Final = 6
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


def user_of(row: Sequence[Any]) -> UserView:
    """The user whose fields a row holds, in the order of the view."""
    return UserView(**dict(zip(FIELDS, row, strict=True)))


@lru_cache
def one_user(generation: int) -> AnySelect:
    """The serving generation, the position of `partition` in it and the fields of user `id`.

    All of one moment, in one round trip; the fields are NULL where there is no such user.
    """
    rows = tables_of(USERS, generation).rows
    return (
        select(PROJECTIONS.c.generation, CHECKPOINTS.c.position, *(rows.c[name] for name in FIELDS))
        .join_from(PROJECTIONS, CHECKPOINTS, serving(USERS.name))
        .outerjoin(rows, and_(rows.c.id == bindparam("id", type_=Uuid()), rows.c.shown))
        .where(CHECKPOINTS.c.partition == bindparam("partition"))
    )


def page_query(query: UserList, generation: int) -> tuple[AnySelect, dict[str, Any]]:
    """The statement for a page and one row more, and its parameters.

    A row has the fields of the view, then the key it is sorted by.
    """
    wanted = query.limit + 1
    words = prefixes(query.words or "")
    values: dict[Filter, Any] = {
        "ids": _once(query.ids),
        "external_ids": _once(query.external_ids),
        "emails": _once(query.emails),
        "roles": _once(query.roles),
        "words": " & ".join(words),
    }
    given: dict[Filter, Any] = {name: value for name, value in values.items() if value}
    statuses = _once(query.statuses or LISTED)
    each_status = dict(zip(status_names(len(statuses)), statuses, strict=True))
    parameters: dict[str, Any] = {
        **given,
        **each_status,
        "statuses": statuses,
        "limit": wanted,
    }
    if words:
        walks = max(1, len(statuses) * len(query.roles))
        look = min(max(_LOOK_LEAST, wanted * _LOOK_A_ROW), _LOOK_MOST, _LOOK_OF_ALL // walks)
        parameters["look"] = max(wanted, look)
        parameters["each_word"] = sorted(words, key=len)[-_WORDS_LOOKED_UP:]
    if query.after is not None:
        parameters["key"] = _parsed_key(query.sort, query.after.key)
        parameters["id"] = query.after.id
    shape = Shape(
        generation=generation,
        sort=query.sort,
        descending=query.descending,
        filters=frozenset(given),
        walks=len(statuses),
        later=query.after is not None,
    )
    return page_statement(shape), parameters


def page_of(query: UserList, rows: Sequence[Sequence[Any]]) -> UserPage:
    """The page that the rows of `page_query` make."""
    items = [user_of(row[:-1]) for row in rows[: query.limit]]
    if len(rows) <= query.limit:
        return UserPage(items, None)
    key = rows[query.limit - 1][-1]
    return UserPage(items, ListCursor(_written_key(key), items[-1].id))


def _once(values: Sequence[Any]) -> list[Any]:
    """Each value once: every one of them is a walk of its own."""
    return list(dict.fromkeys(values))


def _written_key(key: str | datetime) -> str:
    return key if isinstance(key, str) else str((key - _EPOCH) // _MICROSECOND)


def _parsed_key(sort: SortField, key: str) -> str | datetime:
    """A key as `_written_key` wrote it: cursors come back sealed, for the same order."""
    return key if sort in ("name", "email") else _EPOCH + int(key) * _MICROSECOND
