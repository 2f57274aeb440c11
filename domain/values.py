"""Values that are valid because they exist: parsed once at the boundary.

Every `parse` raises `InvalidValue` with a reason that never repeats the value.
"""

import re
from typing import Final, Self

from msgspec import Struct

from domain.attributes import parse_attributes
from domain.email import comparable_address, sought_address, tidied_address
from domain.errors import InvalidValue
from domain.text import is_blank, refuse_control, refuse_unreadable, tidied

__all__ = [
    "DEFAULT_ROLE",
    "MAX_EXTERNAL_ID_LENGTH",
    "MAX_IMPORT_KEY_LENGTH",
    "MAX_NAME_LENGTH",
    "MAX_REASON_LENGTH",
    "ROLE_PATTERN",
    "EmailAddress",
    "ExternalId",
    "PersonName",
    "Role",
    "SoughtAddress",
    "parse_attributes",
    "parse_import_key",
    "parse_reason",
]

DEFAULT_ROLE: Final = "member"
MAX_NAME_LENGTH: Final = 200
MAX_EXTERNAL_ID_LENGTH: Final = 255
# Room for an external id or an address in the form used for comparison, and what it is.
MAX_IMPORT_KEY_LENGTH: Final = 1024
MAX_REASON_LENGTH: Final = 500
ROLE_PATTERN: Final = "[a-z][a-z0-9_-]{0,31}"


class PersonName(Struct, frozen=True):
    """1-200 characters, NFC, trimmed, at least one of them visible.

    No control characters, lone surrogates or line separators; of the invisible formatting
    characters only the joiners (U+200C, U+200D), which some scripts need.
    """

    text: str

    @classmethod
    def parse(cls, raw: str) -> Self:
        text = tidied(raw, "A name", MAX_NAME_LENGTH)
        if is_blank(text):
            raise InvalidValue("A name must not be empty.")
        refuse_unreadable(text, "A name")
        return cls(text)


class EmailAddress(Struct, frozen=True):
    """An address as typed (trimmed, NFC) and the form that all its spellings share."""

    text: str
    comparable: str

    @classmethod
    def parse(cls, raw: str) -> Self:
        text = tidied_address(raw)
        return cls(text, comparable_address(text))


class SoughtAddress(Struct, frozen=True):
    """An address to search for, in the form that all spellings of one address share.

    It need not be one that a user may have, so it is checked less, which takes less time.
    """

    comparable: str

    @classmethod
    def parse(cls, raw: str) -> Self:
        return cls(sought_address(raw))


class Role(Struct, frozen=True):
    """A slug: a small ASCII letter, then up to 31 of `a-z 0-9 _ -`."""

    text: str

    @classmethod
    def parse(cls, raw: str) -> Self:
        if re.fullmatch(ROLE_PATTERN, raw) is None:
            raise InvalidValue(
                "A role must be 1 to 32 of a-z, 0-9, _ and -, and begin with a letter."
            )
        return cls(raw)


class ExternalId(Struct, frozen=True):
    """The id of the user in another system: 1-255 characters, stored and compared as given."""

    text: str

    @classmethod
    def parse(cls, raw: str) -> Self:
        if not 1 <= len(raw) <= MAX_EXTERNAL_ID_LENGTH:
            raise InvalidValue(
                f"An external id must have 1 to {MAX_EXTERNAL_ID_LENGTH} characters."
            )
        refuse_control(raw, "An external id")
        return cls(raw)


def parse_import_key(raw: str) -> str:
    """The key of a person in a directory that is imported: compared as given, never stored."""
    if not 1 <= len(raw) <= MAX_IMPORT_KEY_LENGTH:
        raise InvalidValue(f"An import key must have 1 to {MAX_IMPORT_KEY_LENGTH} characters.")
    refuse_control(raw, "An import key")
    return raw


def parse_reason(raw: str | None) -> str | None:
    """The reason of a command: trimmed, NFC, up to 500 characters; None if blank.

    The rules of names apply, but newlines (CR LF becomes one) and tabs are allowed.
    """
    if raw is None:
        return None
    text = tidied(raw.replace("\r\n", "\n"), "A reason", MAX_REASON_LENGTH)
    refuse_unreadable(text, "A reason", besides="\n\t")
    return text or None
