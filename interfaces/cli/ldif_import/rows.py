"""The rows of an import, whatever format they come in: people, and what is none."""

from msgspec import Struct

Values = str | list[str]


class Person(Struct, frozen=True, kw_only=True):
    """A row as a user; `external_id` is None if it has no stable id.

    `other_keys` are ids of the person that were not chosen: another export may lack the chosen one.
    `is_key_unique` says that by its definition no two people ever have the same external id.
    """

    line: int
    name: str
    email: str
    external_id: str | None
    attributes: dict[str, Values]
    other_keys: tuple[str, ...] = ()
    is_key_unique: bool = False
    warning: str | None = None


class Refused(Struct, frozen=True):
    """A row that should be imported but cannot be."""

    line: int
    reason: str


class NotAPerson(Struct, frozen=True):
    """A row of another kind; `what` is the kind in the plural."""

    line: int
    what: str
