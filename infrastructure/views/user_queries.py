"""Users as SQL: one of them with its standing, and pages of them by a few cached statements."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Final

from msgspec import Struct
from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Select,
    Table,
    Text,
    Uuid,
    and_,
    bindparam,
    cast,
    func,
    select,
    tuple_,
)
from sqlalchemy.dialects.postgresql import TSQUERY

from application.queries import ListCursor, SortField, UserList, UserPage
from infrastructure.views.catalogue import CHECKPOINTS, PROJECTIONS, serving
from infrastructure.views.tables import tables_of
from projections.folding import search_words
from projections.users import USERS, UserView

AnySelect = Select[*tuple[Any, ...]]

_FIELDS: Final = UserView.__struct_fields__
_KEYS: Final[dict[SortField, str]] = {
    "name": "name_key",
    "email": "email_key",
    "created_at": "created_at",
    "updated_at": "updated_at",
}
_LISTED: Final = ("active", "suspended")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


class _Shape(Struct, frozen=True):
    """What makes one list's SQL another than the next one's: not the values that are asked for."""

    generation: int
    sort: SortField
    descending: bool
    filters: tuple[str, ...]


def user_of(row: Sequence[Any]) -> UserView:
    """The user whose fields a row holds, in the order of the view."""
    return UserView(**dict(zip(_FIELDS, row, strict=True)))


@lru_cache
def one_user(generation: int) -> AnySelect:
    """The serving generation, the position of `partition` in it and the fields of user `id`.

    All of one moment, in one round trip; the fields are NULL where there is no such user.
    """
    rows = tables_of(USERS, generation).rows
    return (
        select(PROJECTIONS.c.generation, CHECKPOINTS.c.position, *_fields(rows))
        .join_from(PROJECTIONS, CHECKPOINTS, serving(USERS.name))
        .outerjoin(rows, and_(rows.c.id == bindparam("id", type_=Uuid()), rows.c.shown))
        .where(CHECKPOINTS.c.partition == bindparam("partition"))
    )


def page_query(query: UserList, generation: int) -> tuple[AnySelect, dict[str, Any]]:
    """The statement for a page and one row more, and its parameters.

    A row has the fields of the view, then the key it is sorted by.
    """
    given: dict[str, Any] = {
        "statuses": list(query.statuses or _LISTED),
        "ids": list(query.ids),
        "roles": list(query.roles),
        "external_ids": list(query.external_ids),
        "emails": list(query.emails),
        "words": _tsquery(query.words or ""),
    }
    filters = {name: value for name, value in given.items() if value}
    parameters = {**filters, "limit": query.limit + 1}
    shape = _Shape(generation, query.sort, query.descending, tuple(filters))
    if query.after is None:
        return _first_page(shape), parameters
    key = _parsed_key(query.sort, query.after.key)
    return _later_page(shape), {**parameters, "key": key, "id": query.after.id}


def page_of(query: UserList, rows: Sequence[Sequence[Any]]) -> UserPage:
    """The page that the rows of `page_query` make."""
    items = [user_of(row[:-1]) for row in rows[: query.limit]]
    if len(rows) <= query.limit:
        return UserPage(items, None)
    key = rows[query.limit - 1][-1]
    return UserPage(items, ListCursor(_written_key(key), items[-1].id))


@lru_cache(512)
def _first_page(shape: _Shape) -> AnySelect:
    rows = tables_of(USERS, shape.generation).rows
    # A stream without a view has no status, so that none of them is listed.
    conditions = [_condition(rows, name) for name in shape.filters]
    order = (_key(rows, shape.sort), rows.c.id)
    return (
        select(*_fields(rows), _key(rows, shape.sort).label("sort_key"))
        .where(*conditions)
        .order_by(*(column.desc() if shape.descending else column for column in order))
        .limit(bindparam("limit"))
    )


@lru_cache(512)
def _later_page(shape: _Shape) -> AnySelect:
    rows = tables_of(USERS, shape.generation).rows
    key = _key(rows, shape.sort)
    place = tuple_(key, rows.c.id)
    end = tuple_(bindparam("key", type_=key.type), bindparam("id", type_=Uuid()))
    return _first_page(shape).where(place < end if shape.descending else place > end)


def _condition(rows: Table, name: str) -> ColumnElement[bool]:
    columns = {
        "statuses": rows.c.status,
        "ids": rows.c.id,
        "roles": rows.c.role,
        "external_ids": rows.c.external_id,
        "emails": rows.c.email_comparable,
    }
    if name == "words":
        asked = cast(bindparam("words", type_=Text()), TSQUERY())
        return rows.c.words.bool_op("@@")(asked)
    column = columns[name]
    # Whatever the number of values, one statement.
    return column == func.any(bindparam(name, type_=ARRAY(column.type)))


def _fields(rows: Table) -> list[ColumnElement[Any]]:
    return [rows.c[name] for name in _FIELDS]


def _key(rows: Table, sort: SortField) -> ColumnElement[Any]:
    return rows.c[_KEYS[sort]]


def _tsquery(text: str) -> str:
    """All words of a text, as prefixes; empty where it has none. Quoted as tsquery's input asks."""
    quoted = (word.replace("\\", "\\\\").replace("'", "''") for word in search_words([text]))
    return " & ".join(f"'{word}':*" for word in quoted)


def _written_key(key: str | datetime) -> str:
    return key if isinstance(key, str) else str((key - _EPOCH) // _MICROSECOND)


def _parsed_key(sort: SortField, key: str) -> str | datetime:
    """A key as `_written_key` wrote it: cursors come back sealed, for the same order."""
    return key if sort in ("name", "email") else _EPOCH + int(key) * _MICROSECOND
