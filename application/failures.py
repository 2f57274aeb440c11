"""Descriptions of errors without personal data, and errors after a recorded command."""

import re
import traceback
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from msgspec import ValidationError

from application.errors import OutcomeUnknown, Unavailable

_MAX_PLACES: Final = 12
_FIELD_PATH: Final = re.compile(r"`\$([^`]*)`")


def describe(error: BaseException) -> str:
    """The type, field and line of an error; not its message, which may hold personal data.

    For example `KeyError (users.py:71)` or `ValidationError at .attributes (mapper.py:140)`.
    """
    lines = [
        f" ({Path(frame.f_code.co_filename).name}:{line})"
        for frame, line in traceback.walk_tb(error.__traceback__)
    ]
    field = _FIELD_PATH.search(str(error)) if isinstance(error, ValidationError) else None
    at_field = f" at {field[1]}" if field else ""
    return type(error).__name__ + at_field + "".join(lines[-1:])


def places(error: BaseException) -> list[str]:
    """The traceback as places, the innermost last: `users.py:71 decide`."""
    return [
        f"{Path(frame.f_code.co_filename).name}:{line} {frame.f_code.co_name}"
        for frame, line in traceback.walk_tb(error.__traceback__)
    ][-_MAX_PLACES:]


@contextmanager
def already_recorded() -> Generator[None]:
    """Turn `Unavailable`, which says that nothing was recorded, into `OutcomeUnknown`.

    For reads that answer a command which is already recorded.
    """
    try:
        yield
    except Unavailable as error:
        raise OutcomeUnknown from error
