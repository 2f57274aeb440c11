"""Reading request headers."""

import re
from typing import Final

from fastapi import Request

# A header with a list of values is refused beyond this: each value takes time.
MAX_LIST_LENGTH: Final = 1024

_READ: Final = "rollbook.headers"
_VISIBLE: Final = re.compile(r"[\x21-\x7e]+")


def header(request: Request, name: str) -> str | None:
    """A header's value; several lines are joined to one list (RFC 9110, section 5.3).

    So a header that allows no comma and no space cannot be sent twice.
    """
    scope = request.scope
    if _READ not in scope:
        # Decoded once for all headers of a request: a search in the raw list takes longer.
        read: dict[str, str] = {}
        for raw_name, raw_value in scope["headers"]:
            key, value = raw_name.decode("latin-1"), raw_value.decode("latin-1").strip()
            read[key] = f"{read[key]}, {value}" if key in read else value
        scope[_READ] = read
    return scope[_READ].get(name.lower())


def is_visible_ascii(text: str, limit: int) -> bool:
    """1 to `limit` visible ASCII characters, so no spaces."""
    return len(text) <= limit and _VISIBLE.fullmatch(text) is not None
