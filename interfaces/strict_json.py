"""Strict JSON: refuses what two parsers could read differently (RFC 7493)."""

import json
import re
from decimal import Decimal
from itertools import count
from math import isinf
from typing import Any, Final

from domain.json_levels import levels

# Attributes of 16 KiB have no more, even if all of them are as short as 0.1.
MAX_FRACTIONS: Final = 4096

_MAX_NUMBER: Final = 2**53
_MAX_DEPTH: Final = 32
# What may stand for a forbidden character, or be part of too large a number; most bodies have none.
_SUSPECT: Final = re.compile(r"\\u|[0-9]{16}|[0-9][eE]")
# Beyond this length a look at all nodes takes less time than a search in the text.
_SHORT: Final = 4096


class BadJson(ValueError):
    """The text is not strict JSON; the message says why, and never repeats the content."""


def parse_json(raw: bytes, what: str = "The body") -> Any:
    """The value; raises `BadJson` with a reason that names `what` and never repeats the content.

    Besides invalid JSON, it refuses: other encodings than UTF-8, duplicate keys, NaN and
    infinities, numbers beyond ±2⁵³, U+0000, lone surrogates, and more than 32 levels.
    """
    is_long = len(raw) > _SHORT
    try:
        text = raw.decode()
        value = (_counting_decoder() if is_long else _DECODER).decode(text)
    except UnicodeDecodeError:
        raise BadJson(f"{what} is not UTF-8.") from None
    except RecursionError:
        raise _too_deep(what) from None
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise BadJson(f"{what} is not JSON: {error.msg} at {place}.") from None
    except BadJson:
        raise
    except ValueError:
        # An integer of some thousand digits.
        raise _too_large() from None
    if is_long or _SUSPECT.search(text) or text.count("{") + text.count("[") > _MAX_DEPTH:
        _check(value, what)
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise BadJson("An object has a key twice.")
    return members


def _constant(name: str) -> Any:
    raise BadJson(f"{name} is not JSON.")


def _number(digits: str) -> float:
    """The nearest number to one with a fraction or an exponent; -0.0 is 0.

    The limit is compared with the number as written: 9007199254740993.0 has no nearest number that
    shows it.
    """
    number = float(digits)
    if abs(number) >= _MAX_NUMBER and (isinf(number) or Decimal(digits).copy_abs() > _MAX_NUMBER):
        raise _too_large()
    return number or 0.0


_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_object, parse_constant=_constant, parse_float=_number
)


def _counting_decoder() -> json.JSONDecoder:
    """Refuses countless fractions: to read one such as 5e-324 takes as long as to read ten integers."""
    numbers = count(1)

    def fraction(digits: str) -> float:
        if next(numbers) > MAX_FRACTIONS:
            raise BadJson(
                f"There are more than {MAX_FRACTIONS:,} numbers with a fraction or an exponent."
            )
        return _number(digits)

    return json.JSONDecoder(
        object_pairs_hook=_object, parse_constant=_constant, parse_float=fraction
    )


def _check(value: object, what: str) -> None:
    for depth, level in enumerate(levels([value]), 1):
        if depth > _MAX_DEPTH and level.containers:
            raise _too_deep(what)
        if level.has_number_beyond(_MAX_NUMBER):
            raise _too_large()
        if level.has_unfit_text():
            raise BadJson("Text must not contain U+0000 or lone surrogates.")


def _too_deep(what: str) -> BadJson:
    return BadJson(f"{what} is more than {_MAX_DEPTH} levels deep.")


def _too_large() -> BadJson:
    return BadJson("Numbers must be finite and within ±2⁵³.")
