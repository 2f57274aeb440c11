"""Rules for text that people type."""

import re
import unicodedata
from typing import Final

from domain.errors import InvalidValue

# Persian, Urdu and the scripts of India need them to spell names; all other invisible formatting
# characters (bidirectional overrides above all) only make one text look like another.
# As the FreeformClass of RFC 8264 has it.
_JOINERS: Final = "\u200c\u200d"
_UNREADABLE: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})

# Default_Ignorable_Code_Point (DerivedCoreProperties.txt of Unicode 16): shown as nothing.
_IGNORABLE: Final = (
    "\u00ad\u034f\u061c\u115f-\u1160\u17b4-\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f"
    "\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    "\U000e0000-\U000e0fff"
)
# Letters and symbols without ink: the empty Braille pattern, a notehead, and hieroglyphs.
_BLANK: Final = "\u2800\U0001d159\U00013441\U00013442"
_IGNORABLES: Final = re.compile(f"[{_IGNORABLE}]+")
_INVISIBLE: Final = re.compile(f"[{_IGNORABLE}{_BLANK}]")
_NOTHING_VISIBLE: Final = re.compile(rf"[\s{_IGNORABLE}{_BLANK}]*")

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
    return _NOTHING_VISIBLE.fullmatch(text) is not None


def without_ignorable(text: str) -> str:
    """The text without Default_Ignorable_Code_Point characters."""
    return _IGNORABLES.sub("", text)


def has_invisible(text: str) -> bool:
    """Whether the text has a character that is shown as nothing, and that is no space."""
    return _INVISIBLE.search(text) is not None
