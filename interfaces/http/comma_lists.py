"""Comma lists in query parameters: how they are read, and how a value is written into one.

`\\,` is a comma within a value; backslashes that stand before a comma for themselves are doubled.
All other backslashes are what they are, so that only such values look different in a list.
"""

import re
from typing import Final

_PIECES: Final = re.compile(r"(\\*)(?:(,)|([^\\,]+|$))", re.DOTALL)
_COMMAS: Final = re.compile(r"(\\*),")


def split_list(text: str) -> list[str]:
    """The values of a list: at least one, which may be empty."""
    if "\\" not in text:
        return text.split(",")
    values = [""]
    for backslashes, comma, other in _PIECES.findall(text):
        values[-1] += backslashes[: len(backslashes) // 2] if comma else backslashes + other
        if comma and len(backslashes) % 2:
            values[-1] += ","
        elif comma:
            values.append("")
    return values


def list_of_one(value: str) -> str:
    """A list with this value alone."""
    return _COMMAS.sub(lambda found: found[1] * 2 + "\\,", value)
