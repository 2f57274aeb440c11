"""A user's free attributes: JSON within limits, compared and merged as JSON."""

from collections.abc import Mapping
from typing import Any, Final, cast

import msgspec

from domain.errors import InvalidValue

MAX_KEYS: Final = 64
MAX_KEY_LENGTH: Final = 128
MAX_BYTES: Final = 16 * 1024
MAX_DEPTH: Final = 8
# Every JSON implementation reads integers up to this exactly (RFC 8259, section 6).
MAX_NUMBER: Final = 2**53


def parse_attributes(raw: Mapping[str, Any]) -> dict[str, Any]:
    """A copy within the limits: at most 64 keys and 16 KiB of JSON, 8 levels (itself the first).

    Keys have 1 to 128 characters. Raises `InvalidValue`.
    """
    if len(raw) > MAX_KEYS:
        raise InvalidValue(f"There must be at most {MAX_KEYS} attributes.")
    parsed = _object(raw, depth=1)
    if len(msgspec.json.encode(parsed)) > MAX_BYTES:
        raise InvalidValue(f"The attributes must have at most {MAX_BYTES} bytes as JSON.")
    return parsed


def merged(attributes: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """The attributes after a JSON merge patch (RFC 7396); raises `InvalidValue` on a deep patch."""
    return _merged(attributes, patch, depth=1)


def same_json(one: object, other: object) -> bool:
    """Whether two values are the same JSON: 1 is 1.0, as in RFC 6902, but neither is true."""
    match one, other:
        case bool(), _:
            return one is other
        case _, bool():
            return False
        case dict(), dict():
            first, second = cast("dict[str, object]", one), cast("dict[str, object]", other)
            return first.keys() == second.keys() and all(
                same_json(value, second[key]) for key, value in first.items()
            )
        case list(), list():
            items, others = cast("list[object]", one), cast("list[object]", other)
            return len(items) == len(others) and all(map(same_json, items, others))
        case _:
            return one == other


def _merged(target: Mapping[str, Any], patch: Mapping[str, Any], depth: int) -> dict[str, Any]:
    _refuse_depth(depth)
    result = dict(target)
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict):
            previous = result.get(key)
            result[key] = _merged(
                cast("dict[str, Any]", previous) if isinstance(previous, dict) else {},
                cast("dict[str, Any]", value),
                depth + 1,
            )
        else:
            result[key] = value
    return result


def _value(raw: object, depth: int) -> Any:
    match raw:
        case None | bool():
            return raw
        case str():
            return _text(raw)
        case int() | float():
            # Not `>`: this form also refuses NaN.
            if not abs(raw) <= MAX_NUMBER:
                raise InvalidValue("Numbers in attributes must be finite and within ±2⁵³.")
            return raw
        case dict():
            return _object(cast("dict[object, object]", raw), depth)
        case list():
            _refuse_depth(depth)
            return [_value(item, depth + 1) for item in cast("list[object]", raw)]
        case _:
            raise InvalidValue("Attributes hold JSON values only.")


def _object(raw: Mapping[Any, Any], depth: int) -> dict[str, Any]:
    _refuse_depth(depth)
    return {_key(key): _value(value, depth + 1) for key, value in raw.items()}


def _key(raw: object) -> str:
    if not isinstance(raw, str):
        raise InvalidValue("Keys in attributes must be text.")
    if not 1 <= len(raw) <= MAX_KEY_LENGTH:
        raise InvalidValue(f"Keys in attributes must have 1 to {MAX_KEY_LENGTH} characters.")
    return _text(raw)


def _text(raw: str) -> str:
    # Postgres stores neither in jsonb.
    if "\0" in raw or not (raw.isascii() or _is_unicode(raw)):
        raise InvalidValue("Text in attributes must not contain U+0000 or lone surrogates.")
    return raw


def _is_unicode(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _refuse_depth(depth: int) -> None:
    if depth > MAX_DEPTH:
        raise InvalidValue(f"Attributes must be at most {MAX_DEPTH} levels deep.")
