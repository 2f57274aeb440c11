"""Cursors of the list of users: where a page ended, for the same filters and order."""

from typing import Any

from msgspec.structs import replace

from application.cursors import CursorBox
from application.queries import ListCursor, UserList
from interfaces.http.list_cursors import open_place, seal_place


def seal_cursor(box: CursorBox, query: UserList, after: ListCursor | None) -> str | None:
    """The cursor for the page after this one; None after the last."""
    return seal_place(box, _listed(query), after)


def open_cursor(box: CursorBox, query: UserList, cursor: str) -> UserList:
    """The query, from where the cursor points.

    Raises `InvalidRequest` for a cursor that was tampered with or belongs to other filters.
    """
    return replace(query, after=open_place(box, _listed(query), cursor, ListCursor))


def _listed(query: UserList) -> Any:
    """Everything but the place and the page size, which may change on the way."""
    return "users", replace(query, after=None, limit=0)
