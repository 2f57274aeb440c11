"""Durations as people type them: `90d`, `1h`, `30m`, `45s`."""

import re
from datetime import timedelta
from typing import Final

import typer

_DURATION: Final = re.compile(r"([0-9]{1,7})([smhdw])")
_UNITS: Final = {
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "w": timedelta(weeks=1),
}


def parse_duration(text: str) -> timedelta:
    """Raises typer's `BadParameter`."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise typer.BadParameter("must be a number and one of s, m, h, d, w, such as 90d")
    return int(match[1]) * _UNITS[match[2]]
