"""Index scans ("walks") in the list's order: one for each requested status and role, merged."""

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

from application.projector.view_store import Slot
from application.queries.directory import SortField
from infrastructure.views.queries.user_filters import SORT_COLUMNS, AnySelect, Filter
from infrastructure.views.sql.statements import column_of
from infrastructure.views.sql.tables import tables_of
from projections.users import UserRow, UserView

FIELDS: Final = UserView.__struct_fields__


class Shape(Struct, frozen=True):
    """The properties of a list that determine its SQL; values of filters are parameters.

    `later`: the page begins after a place. `by_word`: the search has one word and the sort key may
    begin with it. `roles`: the number of roles with their own walk for each status; it is 0 without
    a role filter and if there are too many roles.
    """

    slot: Slot[UserRow]
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
        return tables_of(self.slot).rows

    def fields(self, rows: Table | Subquery) -> list[ColumnElement[Any]]:
        """The fields of a user."""
        return [column_of(self.slot, rows, name).label(name) for name in FIELDS]

    def key(self, rows: Table | Subquery) -> ColumnElement[Any]:
        """The sort key."""
        return rows.c[SORT_COLUMNS[self.sort]]

    def order(
        self, *columns: ColumnElement[Any], backwards: bool = False
    ) -> list[ColumnElement[Any]]:
        """The order of the list by these columns."""
        return [each.desc() if self.descending != backwards else each.asc() for each in columns]

    def behind(self, rows: Table | Subquery, place: ColumnElement[Any]) -> ColumnElement[bool]:
        """Whether a row comes after a place, which is a key and an id."""
        own_place = tuple_(self.key(rows), rows.c.id)
        return own_place < place if self.descending else own_place > place

    def behind_cursor(self, rows: Table | Subquery) -> list[ColumnElement[bool]]:
        """The condition that a row comes after the cursor; none for the first page."""
        if not self.later:
            return []
        key = bindparam("key", type_=self.key(rows).type)
        return [self.behind(rows, tuple_(key, bindparam("id", type_=Uuid())))]

    @property
    def walks_all_roles(self) -> bool:
        """Whether each status has one walk for all requested roles."""
        return "roles" in self.filters and not self.roles


def numbered(name: str, number: int) -> list[str]:
    """The names of parameters with one value each."""
    return [f"{name}_{n}" for n in range(number)]


def walk(
    shape: Shape,
    length: ColumnElement[int],
    conditions: Callable[[Table], Sequence[ColumnElement[bool]]],
    *,
    words: bool = False,
) -> AnySelect:
    """The first `length` places that match statuses, roles and further conditions.

    Columns: `sort_key`, `id`, and with `words` also `words`.
    """
    # The server merges the walks lazily: together they read hardly more rows than one walk.
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
    """The first places of each requested role."""
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
    """A CTE that is evaluated once."""
    return rows.cte(name).prefix_with("MATERIALIZED")


def page_of_places(shape: Shape, places: CTE | Subquery) -> AnySelect:
    """The fields of the users at some places, in order, and `sort_key`."""
    rows = shape.rows
    return (
        select(*shape.fields(rows), places.c.sort_key)
        .select_from(places.join(rows, rows.c.id == places.c.id))
        .order_by(*shape.order(places.c.sort_key, places.c.id))
    )
