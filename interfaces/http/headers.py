"""Reading request headers strictly."""

import re
from typing import Final

from fastapi import Request

from interfaces.http.refusals import FieldError, InvalidRequest

_VISIBLE: Final = re.compile(r"[\x21-\x7e]+")


def header(request: Request, name: str) -> str | None:
    """A header that may come once only; raises `InvalidRequest` where it came more often."""
    values = request.headers.getlist(name)
    if len(values) > 1:
        raise InvalidRequest([FieldError(name, "May be sent once only.")])
    return values[0].strip() if values else None


def joined(request: Request, name: str) -> str | None:
    """A header whose value is a list: several lines are one (RFC 9110, section 5.3)."""
    values = request.headers.getlist(name)
    return ", ".join(values) if values else None


def is_visible_ascii(text: str, limit: int) -> bool:
    """1 to `limit` visible ASCII characters, so no spaces."""
    return len(text) <= limit and _VISIBLE.fullmatch(text) is not None
