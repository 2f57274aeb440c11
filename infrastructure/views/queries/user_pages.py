"""The statements for pages of users, each by the most selective index.

A page is the beginning of merged index scans, one for each requested status and role, so that the
filters skip no rows. Users that are named by id, external id or e-mail are looked up first.
"""

from functools import lru_cache
from typing import Final

from sqlalchemy import bindparam, select

from infrastructure.views.queries.user_filters import AnySelect, Filter, is_any
from infrastructure.views.queries.user_search import conditions, searched
from infrastructure.views.queries.user_walks import (
    Shape,
    materialized,
    page_of_places,
    walk,
)

# Each value of these belongs to one user, or to a few users of whom at most one is not deleted.
_NARROW: Final[tuple[Filter, ...]] = ("ids", "external_ids", "emails")


@lru_cache(512)
def page_statement(shape: Shape) -> AnySelect:
    """A page and one row more: the fields of each user and `sort_key`.

    Parameters: `limit`, those named by `filters`, `statuses` and each of them as `status_0` and so
    on, the roles with their own walks as `role_0` and so on, `key` and `id` of the place after
    which a later page begins; with words also those of `searched`.
    """
    if shape.filters.intersection(_NARROW):
        return _narrow(shape)
    if "words" in shape.filters:
        return searched(shape)
    places = walk(shape, bindparam("limit"), shape.behind_cursor)
    return page_of_places(shape, materialized(places, "walk"))


def _narrow(shape: Shape) -> AnySelect:
    """The users that match the narrow filters are found first."""
    narrow = [is_any(shape.rows, name) for name in _NARROW if name in shape.filters]
    # OFFSET makes the planner use the indexes of these filters.
    named = select(shape.rows).where(*narrow).offset(0).subquery("few")
    key = shape.key(named)
    return (
        select(*shape.fields(named), key.label("sort_key"))
        .where(*conditions(shape, named), *shape.behind_cursor(named))
        .order_by(*shape.order(key, named.c.id))
        .limit(bindparam("limit"))
    )
