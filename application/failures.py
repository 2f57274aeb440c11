"""Saying what went wrong: without repeating a value, and without denying what was recorded."""

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
    """The error's type, the field it names and the line it comes from; its message may be personal.

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
    """Where the error came from, the innermost place last: `users.py:71 decide`."""
    return [
        f"{Path(frame.f_code.co_filename).name}:{line} {frame.f_code.co_name}"
        for frame, line in traceback.walk_tb(error.__traceback__)
    ][-_MAX_PLACES:]


@contextmanager
def already_recorded() -> Generator[None]:
    """For what is read to answer a command that is known to be recorded: `Unavailable` denies it."""
    try:
        yield
    except Unavailable as error:
        raise OutcomeUnknown from error
