"""Strict JSON: refuses what two parsers could read differently (RFC 7493)."""

import json
import math
import re
from collections.abc import Iterator
from typing import Any, Final, cast

from interfaces.http.protocol.refusals import MalformedRequest

_MAX_NUMBER: Final = 2**53
_MAX_DIGITS: Final = len(str(_MAX_NUMBER))
_MAX_DEPTH: Final = 32
# Escapes that may stand for forbidden characters; most bodies have none of them.
_SUSPECT: Final = re.compile(r"\\u(?:0000|[dD][89a-fA-F])")


def parse_json(raw: bytes) -> Any:
    """The value; raises `MalformedRequest` with a reason that never repeats the content.

    Besides invalid JSON, it refuses: other encodings than UTF-8, duplicate keys, NaN and
    infinities, numbers beyond ±2⁵³, U+0000, lone surrogates, and more than 32 levels.
    """
    try:
        text = raw.decode()
        value = _DECODER.decode(text)
    except UnicodeDecodeError:
        raise MalformedRequest("The body is not UTF-8.") from None
    except RecursionError:
        raise _too_deep() from None
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise MalformedRequest(f"The body is not JSON: {error.msg} at {place}.") from None
    brackets = text.count("{") + text.count("[")
    if brackets > _MAX_DEPTH and any(_is_too_deep(*node) for node in _nodes(value)):
        raise _too_deep()
    if _SUSPECT.search(text) and any(_is_unfit(node) for node, _ in _nodes(value)):
        raise MalformedRequest("Text in the body must not contain U+0000 or lone surrogates.")
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise MalformedRequest("An object in the body has a key twice.")
    return members


def _integer(digits: str) -> int:
    # Beyond some thousand digits int() itself would fail.
    if len(digits) > _MAX_DIGITS + 1 or abs(number := int(digits)) > _MAX_NUMBER:
        raise _too_large()
    return number


def _float(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number) or abs(number) > _MAX_NUMBER:
        raise _too_large()
    return number


def _constant(name: str) -> Any:
    raise MalformedRequest(f"{name} is not JSON.")


def _too_deep() -> MalformedRequest:
    return MalformedRequest(f"The body is more than {_MAX_DEPTH} levels deep.")


def _too_large() -> MalformedRequest:
    return MalformedRequest("Numbers in the body must be finite and within ±2⁵³.")


_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_object,
    parse_int=_integer,
    parse_float=_float,
    parse_constant=_constant,
)


def _nodes(value: object) -> Iterator[tuple[object, int]]:
    """Every key and value with its level; iterative, because a body may be very deep."""
    pending: list[tuple[object, int]] = [(value, 1)]
    while pending:
        node, level = pending.pop()
        yield node, level
        match node:
            case dict():
                members = cast("dict[str, object]", node)
                pending += ((child, level + 1) for child in (*members, *members.values()))
            case list():
                pending += ((child, level + 1) for child in cast("list[object]", node))
            case _:
                pass


def _is_too_deep(node: object, level: int) -> bool:
    return level > _MAX_DEPTH and isinstance(node, dict | list)


def _is_unfit(node: object) -> bool:
    return isinstance(node, str) and any(
        character == "\0" or "\ud800" <= character <= "\udfff" for character in node
    )
