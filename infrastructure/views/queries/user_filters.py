"""What users are chosen and ordered by: columns of their table, and conditions on them."""

from typing import Any, Final, Literal

from sqlalchemy import ARRAY, ColumnElement, Select, Subquery, Table, Text, bindparam, cast, func
from sqlalchemy.dialects.postgresql import TSQUERY

from application.queries.directory import SortField
from projections.folding import marks, search_words

AnySelect = Select[*tuple[Any, ...]]
Filter = Literal["ids", "external_ids", "emails", "roles", "words"]

LISTED: Final = ("active", "suspended")
"""The statuses that are listed where none is asked for."""

SORT_COLUMNS: Final[dict[SortField, str]] = {
    "name": "name_key",
    "email": "email_key",
    "created_at": "created_at",
    "updated_at": "updated_at",
}
WORD_SORTS: Final[tuple[SortField, ...]] = ("name", "email")
"""The orders by what is searched, as the words of a row are marked."""

_COLUMNS: Final[dict[Filter | Literal["statuses"], str]] = {
    "statuses": "status",
    "ids": "id",
    "roles": "role",
    "external_ids": "external_id",
    "emails": "email_comparable",
}


def is_any(rows: Table | Subquery, name: Filter | Literal["statuses"]) -> ColumnElement[bool]:
    """Whether a row has one of the values of the parameter `name`."""
    mine = rows.c[_COLUMNS[name]]
    # Whatever the number of values, one statement.
    return mine == func.any(bindparam(name, type_=ARRAY(mine.type)))


def has_words(words: ColumnElement[Any]) -> ColumnElement[bool]:
    """Whether a row has all that the parameter `words` asks for."""
    return words.bool_op("@@")(cast(bindparam("words", type_=Text()), TSQUERY()))


def asked_words(text: str) -> list[str]:
    """The folded words of a search, but those with which others of them begin."""
    words = search_words([text])
    return [
        word
        for word in words
        if not any(other != word and other.startswith(word) for other in words)
    ]


def prefix(word: str, without: SortField | None = None) -> str:
    """Whatever begins with a folded word, as tsquery reads it.

    With `without` only where the text of that order does not begin with it.
    """
    # Folded words are letters and digits.
    number = None if without is None else WORD_SORTS.index(without)
    either = " | ".join(f"'{mark}{word}':*" for mark in marks(len(WORD_SORTS), number))
    return f"({either})"
