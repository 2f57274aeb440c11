"""The values of a webhook, parsed once at the boundary.

Every `parse` raises `InvalidValue` with a reason that never repeats the value.
"""

from collections.abc import Iterable
from typing import Final

from domain.catalogue import EVENT_TYPES, kind_of
from domain.errors import InvalidValue
from domain.text import refuse_control, refuse_unreadable, tidied

MAX_URL_LENGTH: Final = 2048
MAX_DESCRIPTION_LENGTH: Final = 500
ALL_TYPES: Final = "user.*"
TYPES: Final = (ALL_TYPES, *(topic for topic in EVENT_TYPES if kind_of(topic) == "user"))
"""What an endpoint can get: events of users, and of no other kind of stream."""


def parse_url(raw: str) -> str:
    """A text that can be a URL; whether Rollbook may call it is for `TargetCheck` to say."""
    if not 1 <= len(raw) <= MAX_URL_LENGTH:
        raise InvalidValue(f"A URL must have 1 to {MAX_URL_LENGTH} characters.")
    refuse_control(raw, "A URL")
    return raw


def parse_description(raw: str) -> str | None:
    """Trimmed, NFC, up to 500 characters, without invisible ones; None if blank."""
    text = tidied(raw, "A description", MAX_DESCRIPTION_LENGTH)
    refuse_unreadable(text, "A description")
    return text or None


def parse_types(names: Iterable[str]) -> tuple[str, ...]:
    """The names in order, each once; `user.*` stands for all of them."""
    given = set(names)
    if not given:
        raise InvalidValue("Must name at least one type of events.")
    if not given <= set(TYPES):
        raise InvalidValue(f"Must be among: {', '.join(TYPES)}.")
    return (ALL_TYPES,) if ALL_TYPES in given else tuple(sorted(given))
