"""The statements for pages of users, each by the index that leaves least to look at.

A page is taken from the front of ordered walks, one for each status and role that is asked for, so
that no filter passes anything over. Searches look at a bounded stretch of that walk first, and
at all that has the rarest of their words where the stretch does not fill the page.
"""

from functools import lru_cache
from typing import Any, Final

from msgspec import Struct
from sqlalchemy import (
    ARRAY,
    CTE,
    BindParameter,
    ColumnElement,
    Subquery,
    Table,
    Text,
    Uuid,
    bindparam,
    cast,
    column,
    func,
    select,
    true,
    tuple_,
    union_all,
)
from sqlalchemy.dialects.postgresql import TSQUERY, aggregate_order_by

from application.queries import SortField
from infrastructure.views.tables import tables_of
from infrastructure.views.user_filters import SORT_COLUMNS, AnySelect, Filter, has_words, is_any
from projections.users import USERS, UserView

FIELDS: Final = UserView.__struct_fields__
# Each value of these belongs to one user, or to a few of whom all but one are gone.
_NARROW: Final[tuple[Filter, ...]] = ("ids", "external_ids", "emails")
# A word that more than one of so many users has is left to the others' hits.
_RARE: Final = 20


class Shape(Struct, frozen=True):
    """What makes one list's SQL another than the next one's: not the values that are asked for."""

    generation: int
    sort: SortField
    descending: bool
    filters: frozenset[Filter]
    walks: int
    later: bool


def status_names(number: int) -> list[str]:
    """What the parameters are called that hold a status each."""
    return [f"status_{n}" for n in range(number)]


@lru_cache(512)
def page_statement(shape: Shape) -> AnySelect:
    """A page and one row more: the fields of each user and `sort_key`.

    Parameters: `limit`, `statuses` and each of them by its name in `status_names`, what `filters`
    names, `key` and `id` of the place behind which a later page begins; with words each of them in
    `each_word`, and `look`, how far the walk goes, no less than `limit`.
    """
    if shape.filters.intersection(_NARROW):
        return _few(shape)
    if "words" in shape.filters:
        return _searched(shape)
    walk = _walk(shape, bindparam("limit"))
    return _page(shape, walk)


def _few(shape: Shape) -> AnySelect:
    """All that the narrow filters leave, found first."""
    rows = tables_of(USERS, shape.generation).rows
    narrow = [is_any(rows, name) for name in _NARROW if name in shape.filters]
    # OFFSET keeps the planner from taking another way than these filters' indexes.
    few = select(rows).where(*narrow).offset(0).subquery("few")
    conditions = _conditions(few, shape)
    key = _key(few, shape)
    if shape.later:
        conditions.append(_behind(shape, key, few.c.id, _place(key)))
    return (
        select(*(few.c[name] for name in FIELDS), key.label("sort_key"))
        .where(*conditions)
        .order_by(*_order(shape, key, few.c.id))
        .limit(bindparam("limit"))
    )


def _walk(shape: Shape, length: BindParameter[Any], *, words: bool = False) -> CTE:
    """The first places that statuses, roles and the place before leave, merged from a walk each."""
    # Merged as they go: together the walks of all statuses are hardly longer than one.
    walks = [_one_walk(shape, bindparam(name), length, words) for name in status_names(shape.walks)]
    one = union_all(*walks).subquery("one") if len(walks) > 1 else walks[0].subquery("one")
    merged = select(*one.c).order_by(*_order(shape, one.c.sort_key, one.c.id)).limit(length)
    return _materialized(merged, "walk")


def _one_walk(
    shape: Shape, status: BindParameter[Any], length: BindParameter[Any], words: bool
) -> AnySelect:
    """The first places of one status, of each role that is asked for."""
    rows = tables_of(USERS, shape.generation).rows
    key = _key(rows, shape)
    conditions = [rows.c.status == status]
    if shape.later:
        conditions.append(_behind(shape, key, rows.c.id, _place(key)))
    walk = (
        select(key.label("sort_key"), rows.c.id, *([rows.c.words] if words else []))
        .where(*conditions)
        .order_by(*_order(shape, key, rows.c.id))
        .limit(length)
    )
    if "roles" not in shape.filters:
        return walk
    role = _each("roles", "role")
    of_role = walk.where(rows.c.role == role.c.role).lateral()
    return (
        select(*of_role.c)
        .select_from(role.join(of_role, true()))
        .order_by(*_order(shape, of_role.c.sort_key, of_role.c.id))
        .limit(length)
    )


def _searched(shape: Shape) -> AnySelect:
    walk = _walk(shape, bindparam("look"), words=True)
    hits = _materialized(
        select(walk.c.sort_key, walk.c.id)
        .where(has_words(walk.c.words))
        .order_by(*_order(shape, walk.c.sort_key, walk.c.id))
        .limit(bindparam("limit")),
        "hits",
    )
    rest = _rest(shape, walk, hits)
    both = union_all(select(hits.c.sort_key, hits.c.id), select(rest.c.sort_key, rest.c.id))
    found = both.subquery("both")
    page = (
        select(found.c.sort_key, found.c.id)
        .order_by(*_order(shape, found.c.sort_key, found.c.id))
        .limit(bindparam("limit"))
    )
    return _page(shape, page.subquery("page"))


def _rest(shape: Shape, walk: CTE, hits: CTE) -> Subquery:
    """What the index of words finds behind the stretch, unless that filled the page or was all."""
    rows = tables_of(USERS, shape.generation).rows
    asked = rows.c.words.bool_op("@@")(_rarest(walk))
    with_rarest = select(rows).where(asked).offset(0).subquery("with_rarest")
    key = _key(with_rarest, shape)
    last = (
        select(walk.c.sort_key, walk.c.id)
        .order_by(*_order(shape, walk.c.sort_key, walk.c.id, backwards=True))
        .limit(1)
        .scalar_subquery()
    )
    conditions = [
        _count(hits) < bindparam("limit"),
        _count(walk) == bindparam("look"),
        *_conditions(with_rarest, shape),
        _behind(shape, key, with_rarest.c.id, last),
    ]
    return (
        select(key.label("sort_key"), with_rarest.c.id)
        .where(*conditions)
        .order_by(*_order(shape, key, with_rarest.c.id))
        .limit(bindparam("limit"))
        .subquery("rest")
    )


def _rarest(walk: CTE) -> ColumnElement[Any]:
    """The words that few of the users on the walk have, or the one that the fewest have, as a query."""
    word = _each("each_word", "word")
    having = (
        select(func.count())
        .select_from(walk)
        .where(walk.c.words.bool_op("@@")(cast(word.c.word, TSQUERY())))
        .scalar_subquery()
    )
    counted = select(word.c.word, having.label("having")).offset(0).subquery("counted")
    rare = func.string_agg(counted.c.word, " & ").filter(counted.c.having * _RARE <= _count(walk))
    by_having = aggregate_order_by(counted.c.word, counted.c.having)
    fewest = func.array_agg(by_having, type_=ARRAY(Text()))[1]
    return select(cast(func.coalesce(rare, fewest), TSQUERY())).scalar_subquery()


def _page(shape: Shape, places: CTE | Subquery) -> AnySelect:
    rows = tables_of(USERS, shape.generation).rows
    return (
        select(*(rows.c[name] for name in FIELDS), places.c.sort_key)
        .select_from(places.join(rows, rows.c.id == places.c.id))
        .order_by(*_order(shape, places.c.sort_key, places.c.id))
    )


def _conditions(rows: Subquery, shape: Shape) -> list[ColumnElement[bool]]:
    """All but the narrow filters. A stream without a view has no status: none of them is listed."""
    conditions = [is_any(rows, "statuses")]
    if "roles" in shape.filters:
        conditions.append(is_any(rows, "roles"))
    if "words" in shape.filters:
        conditions.append(has_words(rows.c.words))
    return conditions


def _key(rows: Table | Subquery, shape: Shape) -> ColumnElement[Any]:
    return rows.c[SORT_COLUMNS[shape.sort]]


def _place(key: ColumnElement[Any]) -> ColumnElement[Any]:
    return tuple_(bindparam("key", type_=key.type), bindparam("id", type_=Uuid()))


def _behind(
    shape: Shape, key: ColumnElement[Any], id_: ColumnElement[Any], place: ColumnElement[Any]
) -> ColumnElement[bool]:
    mine = tuple_(key, id_)
    return mine < place if shape.descending else mine > place


def _order(
    shape: Shape, *columns: ColumnElement[Any], backwards: bool = False
) -> list[ColumnElement[Any]]:
    return [each.desc() if shape.descending != backwards else each.asc() for each in columns]


def _each(parameter: str, name: str) -> Any:
    values = func.unnest(bindparam(parameter, type_=ARRAY(Text())))
    return values.table_valued(column(name, Text()), name=f"each_{name}").render_derived()


def _count(rows: CTE) -> ColumnElement[int]:
    return select(func.count()).select_from(rows).scalar_subquery()


def _materialized(rows: AnySelect, name: str) -> CTE:
    return rows.cte(name).prefix_with("MATERIALIZED")
