"""The columns and conditions by which users are filtered and sorted."""

from typing import Any, Final, Literal

from sqlalchemy import ARRAY, ColumnElement, Select, Subquery, Table, Text, bindparam, cast, func
from sqlalchemy.dialects.postgresql import TSQUERY

from application.errors import Unavailable
from application.projector.view_store import Slot
from application.queries.directory import SortField, UserList
from projections.folding import marks, search_words
from projections.users import UserRow

AnySelect = Select[*tuple[Any, ...]]
Filter = Literal["ids", "external_ids", "emails", "roles", "words"]

LISTED: Final = ("active", "suspended")
"""The statuses that are listed by default."""

SORT_COLUMNS: Final[dict[SortField, str]] = {
    "name": "name_key",
    "email": "email_key",
    "created_at": "created_at",
    "updated_at": "updated_at",
}
WORD_SORTS: Final[tuple[SortField, ...]] = ("name", "email")
"""The sort fields that are also searched; the marks of a row's words have this order."""

_COLUMNS: Final[dict[Filter | Literal["statuses"], str]] = {
    "statuses": "status",
    "ids": "id",
    "roles": "role",
    "external_ids": "external_id",
    "emails": "email_comparable",
    "words": "words",
}


def can_match(query: UserList) -> bool:
    """Whether the query can match a user at all: a search without a word matches nothing."""
    return query.words is None or bool(query_words(query.words))


def check_columns(query: UserList, slot: Slot[UserRow]) -> None:
    """Raises `Unavailable` if the slot lacks a column that the query needs: a rebuild adds it."""
    given: dict[Filter | Literal["statuses"], object] = {
        "statuses": LISTED,
        "ids": query.ids,
        "roles": query.roles,
        "external_ids": query.external_ids,
        "emails": query.emails,
        "words": query.words,
    }
    needed = {_COLUMNS[name] for name, values in given.items() if values}
    if slot.lacks & {*needed, SORT_COLUMNS[query.sort]}:
        raise Unavailable


def is_any(rows: Table | Subquery, name: Filter | Literal["statuses"]) -> ColumnElement[bool]:
    """Whether a row has one of the values of the parameter `name`."""
    column = rows.c[_COLUMNS[name]]
    # An array, so that the statement does not depend on the number of values.
    return column == func.any(bindparam(name, type_=ARRAY(column.type)))


def has_words(words: ColumnElement[Any]) -> ColumnElement[bool]:
    """Whether a row has all words of the parameter `words`."""
    return words.bool_op("@@")(cast(bindparam("words", type_=Text()), TSQUERY()))


def query_words(text: str) -> list[str]:
    """The folded words of a search, without words that are prefixes of other ones."""
    words = search_words([text])
    return [
        word
        for word in words
        if not any(other != word and other.startswith(word) for other in words)
    ]


def prefix(word: str, without: SortField | None = None) -> str:
    """A tsquery for all words that begin with a folded word.

    With `without`, the match at the beginning of that sort field's text is excluded.
    """
    # Folded words have letters, digits, signs, full stops and underscores.
    quoted = word.replace("\\", "\\\\").replace("'", "''")
    number = None if without is None else WORD_SORTS.index(without)
    either = " | ".join(f"'{mark}{quoted}':*" for mark in marks(len(WORD_SORTS), number))
    return f"({either})"
