"""What users are chosen and ordered by: columns of their table, and conditions on them."""

from typing import Any, Final, Literal

from sqlalchemy import ARRAY, ColumnElement, Select, Subquery, Table, Text, bindparam, cast, func
from sqlalchemy.dialects.postgresql import TSQUERY

from application.queries import SortField
from projections.folding import search_words

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


def prefixes(text: str) -> list[str]:
    """Whatever begins with a word of the text, as tsquery reads it, for each of its words."""
    # Folded words are letters and digits.
    return [f"'{word}':*" for word in search_words([text])]
