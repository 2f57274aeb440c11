"""The values of a token, parsed once at the boundary."""

from datetime import timedelta
from typing import Final

from domain.errors import InvalidValue
from domain.text import is_blank, refuse_unreadable, tidied

MAX_NAME_LENGTH: Final = 100
MAX_OVERLAP: Final = timedelta(days=1)


def parse_name(raw: str) -> str:
    """Trimmed, NFC, 1 to 100 characters, without invisible ones.

    Raises `InvalidValue` with a reason that does not repeat the value.
    """
    text = tidied(raw, "A name", MAX_NAME_LENGTH)
    if is_blank(text):
        raise InvalidValue("A name must not be empty.")
    refuse_unreadable(text, "A name")
    return text
