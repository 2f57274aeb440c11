"""Walks of the list's order: one for each status and role that is asked for, merged as they go."""

from collections.abc import Callable, Sequence
from typing import Any, Final

from msgspec import Struct
from sqlalchemy import (
    ARRAY,
    CTE,
    ColumnElement,
    CompoundSelect,
    Subquery,
    Table,
    Text,
    Uuid,
    bindparam,
    column,
    func,
    select,
    true,
    tuple_,
    union_all,
)

from application.queries.directory import SortField
from infrastructure.views.queries.user_filters import SORT_COLUMNS, AnySelect, Filter
from infrastructure.views.sql.tables import tables_of
from projections.users import USERS, UserView

FIELDS: Final = UserView.__struct_fields__


class Shape(Struct, frozen=True):
    """What makes one list's SQL another than the next one's: not the values that are asked for.

    `later`: it begins behind a place. `by_word`: one word is sought, in an order by what may begin
    with it. `roles`: how many of them have a walk of their own for each status; of more, or where
    none is asked for, that is 0.
    """

    generation: int
    sort: SortField
    descending: bool
    filters: frozenset[Filter]
    statuses: int
    roles: int
    later: bool
    by_word: bool

    @property
    def rows(self) -> Table:
        """The table of the generation."""
        return tables_of(USERS, self.generation).rows

    def key(self, rows: Table | Subquery) -> ColumnElement[Any]:
        """What is sorted by."""
        return rows.c[SORT_COLUMNS[self.sort]]

    def order(
        self, *columns: ColumnElement[Any], backwards: bool = False
    ) -> list[ColumnElement[Any]]:
        """The order of the list by these columns."""
        return [each.desc() if self.descending != backwards else each.asc() for each in columns]

    def behind(self, rows: Table | Subquery, place: ColumnElement[Any]) -> ColumnElement[bool]:
        """Whether a row comes after a place, which is a key and an id."""
        mine = tuple_(self.key(rows), rows.c.id)
        return mine < place if self.descending else mine > place

    def behind_cursor(self, rows: Table | Subquery) -> list[ColumnElement[bool]]:
        """Nothing for a first page; for a later one, that a row is of it."""
        if not self.later:
            return []
        key = bindparam("key", type_=self.key(rows).type)
        return [self.behind(rows, tuple_(key, bindparam("id", type_=Uuid())))]

    @property
    def walks_all_roles(self) -> bool:
        """Whether a walk of a status is one of many roles."""
        return "roles" in self.filters and not self.roles


def numbered(name: str, number: int) -> list[str]:
    """What the parameters are called that hold one value each."""
    return [f"{name}_{n}" for n in range(number)]


def walk(
    shape: Shape,
    length: ColumnElement[int],
    conditions: Callable[[Table], Sequence[ColumnElement[bool]]],
    *,
    words: bool = False,
) -> AnySelect:
    """The first `length` places that statuses, roles and further conditions leave.

    Columns: `sort_key`, `id`, and `words` if they are wanted.
    """
    # Merged as they go: together the walks of all statuses are hardly longer than one.
    rows = shape.rows
    columns = [shape.key(rows).label("sort_key"), rows.c.id, *([rows.c.words] if words else [])]
    of_all = (
        select(*columns)
        .where(*conditions(rows))
        .order_by(*shape.order(shape.key(rows), rows.c.id))
        .limit(length)
    )
    of_roles = [
        of_all.where(rows.c.role == bindparam(role)) for role in numbered("role", shape.roles)
    ]
    walks = [
        _of_all_roles(shape, each, length) if shape.walks_all_roles else each
        for status in numbered("status", shape.statuses)
        for each in [one.where(rows.c.status == bindparam(status)) for one in of_roles or [of_all]]
    ]
    one = union_all(*walks).subquery("one") if len(walks) > 1 else walks[0].subquery("one")
    return select(*one.c).order_by(*shape.order(one.c.sort_key, one.c.id)).limit(length)


def _of_all_roles(shape: Shape, walk: AnySelect, length: ColumnElement[int]) -> AnySelect:
    """The first places of each role that is asked for."""
    role = each_of("roles", "role")
    of_role = walk.where(shape.rows.c.role == role.c.role).lateral()
    return (
        select(*of_role.c)
        .select_from(role.join(of_role, true()))
        .order_by(*shape.order(of_role.c.sort_key, of_role.c.id))
        .limit(length)
    )


def each_of(parameter: str, name: str) -> Any:
    """The values of a parameter, an array of texts, as rows of a column `name`."""
    values = func.unnest(bindparam(parameter, type_=ARRAY(Text())))
    return values.table_valued(column(name, Text()), name=f"each_{name}").render_derived()


def materialized(rows: AnySelect | CompoundSelect[*tuple[Any, ...]], name: str) -> CTE:
    """What is worked out once, before what reads it."""
    return rows.cte(name).prefix_with("MATERIALIZED")


def page_of_places(shape: Shape, places: CTE | Subquery) -> AnySelect:
    """The fields of the users at some places, in order, and `sort_key`."""
    rows = shape.rows
    return (
        select(*(rows.c[name] for name in FIELDS), places.c.sort_key)
        .select_from(places.join(rows, rows.c.id == places.c.id))
        .order_by(*shape.order(places.c.sort_key, places.c.id))
    )
