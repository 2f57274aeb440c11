"""Rules for text that people type."""

import unicodedata
from typing import Final

from domain.errors import InvalidValue

# Persian, Urdu and the scripts of India need them to spell names; all other invisible formatting
# characters (bidirectional overrides above all) only make one text look like another.
# As the FreeformClass of RFC 8264 has it.
_JOINERS: Final = frozenset("\u200c\u200d")
_UNREADABLE: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_INVISIBLE: Final = frozenset({"Cf", "Zs"})

# NFC composes at most four characters into one: a letter and three marks.
_COMPOSED: Final = 4


def tidied(raw: str, what: str, limit: int) -> str:
    """Trimmed and in NFC, at most `limit` characters.

    The length is also checked before, because normalising many combining marks is quadratic.
    """
    text = raw.strip()
    if len(text) <= limit * _COMPOSED:
        text = unicodedata.normalize("NFC", text)
    if len(text) > limit:
        raise InvalidValue(f"{what} must have at most {limit} characters.")
    return text


def refuse_unreadable(text: str, what: str, besides: str = "") -> None:
    """No control characters, lone surrogates, line separators or invisible formatting."""
    if text.isascii() and text.isprintable():
        return
    for character in text:
        if (
            unicodedata.category(character) in _UNREADABLE
            and character not in _JOINERS
            and character not in besides
        ):
            raise InvalidValue(f"{what} must not contain control or invisible characters.")


def refuse_control(text: str, what: str) -> None:
    """No control characters and no lone surrogates."""
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in text):
        raise InvalidValue(f"{what} must not contain control characters.")


def is_blank(text: str) -> bool:
    """Whether the text has no visible character."""
    return all(unicodedata.category(character) in _INVISIBLE for character in text)
