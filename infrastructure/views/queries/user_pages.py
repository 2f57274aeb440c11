"""The statements for pages of users, each by the index that leaves least to look at.

A page is taken from the front of ordered walks, one for each status and role that is asked for, so
that no filter passes anything over. Whoever is named is looked up first.
"""

from functools import lru_cache
from typing import Final

from sqlalchemy import bindparam, select

from infrastructure.views.queries.user_filters import AnySelect, Filter, is_any
from infrastructure.views.queries.user_search import conditions, searched
from infrastructure.views.queries.user_walks import (
    FIELDS,
    Shape,
    materialized,
    page_of_places,
    walk,
)

# Each value of these belongs to one user, or to a few of whom all but one are gone.
_NARROW: Final[tuple[Filter, ...]] = ("ids", "external_ids", "emails")


@lru_cache(512)
def page_statement(shape: Shape) -> AnySelect:
    """A page and one row more: the fields of each user and `sort_key`.

    Parameters: `limit`, what `filters` names, `statuses` and each of them as `status_0` and so on,
    the roles that have walks of their own as `role_0` and so on, `key` and `id` of the place behind
    which a later page begins; with words what `searched` asks for.
    """
    if shape.filters.intersection(_NARROW):
        return _few(shape)
    if "words" in shape.filters:
        return searched(shape)
    places = walk(shape, bindparam("limit"), shape.behind_cursor)
    return page_of_places(shape, materialized(places, "walk"))


def _few(shape: Shape) -> AnySelect:
    """All that the narrow filters leave, found first."""
    narrow = [is_any(shape.rows, name) for name in _NARROW if name in shape.filters]
    # OFFSET keeps the planner from taking another way than these filters' indexes.
    few = select(shape.rows).where(*narrow).offset(0).subquery("few")
    key = shape.key(few)
    return (
        select(*(few.c[name] for name in FIELDS), key.label("sort_key"))
        .where(*conditions(shape, few), *shape.behind_cursor(few))
        .order_by(*shape.order(key, few.c.id))
        .limit(bindparam("limit"))
    )
