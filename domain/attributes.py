"""A user's free attributes: JSON within limits, compared and merged as JSON."""

from collections.abc import Mapping
from typing import Any, Final, cast

import msgspec

from domain.errors import InvalidValue
from domain.json_levels import JSON_TYPES, Level, levels

MAX_KEYS: Final = 64
MAX_KEY_LENGTH: Final = 128
MAX_BYTES: Final = 16 * 1024
# All keys of 16 KiB removed one by one, and as much set.
MAX_PATCH_BYTES: Final = 3 * MAX_BYTES
MAX_DEPTH: Final = 8
# Every JSON implementation reads integers up to this exactly (RFC 8259, section 6).
MAX_NUMBER: Final = 2**53

_NUMBERS: Final = "Numbers in attributes must be finite and within ±2⁵³."
_TEXT: Final = "Text in attributes must not contain U+0000 or lone surrogates."
_VALUES: Final = "Attributes hold JSON values only."

_sorted: Final = msgspec.json.Encoder(order="sorted").encode


def parse_attributes(raw: Mapping[str, Any]) -> dict[str, Any]:
    """A copy within the limits: at most 64 keys, 8 levels (itself the first), and 16 KiB of JSON
    with all digits of each number.

    Keys have 1 to 128 characters. Raises `InvalidValue`.
    """
    if len(raw) > MAX_KEYS:
        raise InvalidValue(f"There must be at most {MAX_KEYS} attributes.")
    return _checked(raw, "The attributes", MAX_BYTES)


def parse_patch(raw: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of a merge patch within the limits of attributes, except for keys and size.

    It may have at most 48 KiB of JSON: enough to replace all attributes by others, key by key.
    Raises `InvalidValue`.
    """
    return _checked(raw, "A patch of attributes", MAX_PATCH_BYTES)


def merged(attributes: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """The attributes after a JSON merge patch (RFC 7396); raises `InvalidValue` on a deep patch."""
    return _merged(attributes, patch, depth=1)


def same_json(one: object, other: object) -> bool:
    """Whether two values are the same JSON: 1 is 1.0, as in RFC 6902, but neither is true."""
    # Most values are compared without a look at each node.
    return one == other and (_sorted(one) == _sorted(other) or _same(one, other))


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


def _same(one: object, other: object) -> bool:
    """As `same_json`, for values that are equal in Python, where true is 1."""
    match one, other:
        case bool(), _:
            return one is other
        case _, bool():
            return False
        case dict(), dict():
            first, second = cast("dict[str, object]", one), cast("dict[str, object]", other)
            return all(_same(value, second[key]) for key, value in first.items())
        case list(), list():
            return all(map(_same, cast("list[object]", one), cast("list[object]", other)))
        case _:
            return True


def _checked(raw: Mapping[str, Any], what: str, limit: int) -> dict[str, Any]:
    """A copy; the size is checked first, because the other checks take time in proportion to it."""
    try:
        encoded = msgspec.json.encode(raw)
    except RecursionError:
        raise _too_deep() from None
    except OverflowError:
        raise InvalidValue(_NUMBERS) from None
    except UnicodeEncodeError:
        raise InvalidValue(_TEXT) from None
    except TypeError:
        raise InvalidValue(_VALUES) from None
    size = len(encoded)
    if size > limit:
        raise InvalidValue(f"{what} must have at most {limit} bytes as JSON.")
    for depth, level in enumerate(levels(dict(raw)), 1):
        if depth > MAX_DEPTH:
            raise _too_deep()
        _check(level)
        # Postgres shows numbers without exponents: 5e-324 has 326 digits there.
        size += sum(map(_omitted_digits, level.of(float)))
        if size > limit:
            raise InvalidValue(
                f"{what} must have at most {limit} bytes as JSON with all digits of each number."
            )
    return msgspec.json.decode(encoded)


def _check(level: Level) -> None:
    if not level.kinds <= JSON_TYPES:
        raise InvalidValue(_VALUES)
    if set(map(type, level.keys)) - {str}:
        raise InvalidValue("Keys in attributes must be text.")
    lengths = set(map(len, level.keys))
    if lengths and not 1 <= min(lengths) <= max(lengths) <= MAX_KEY_LENGTH:
        raise InvalidValue(f"Keys in attributes must have 1 to {MAX_KEY_LENGTH} characters.")
    if level.has_number_beyond(MAX_NUMBER):
        raise InvalidValue(_NUMBERS)
    if level.has_unfit_text():
        raise InvalidValue(_TEXT)


def _omitted_digits(number: float) -> int:
    """How many zeros an exponent stands for."""
    mantissa, exponent, power = repr(number).partition("e")
    return abs(int(power)) if exponent and mantissa else 0


def _refuse_depth(depth: int) -> None:
    if depth > MAX_DEPTH:
        raise _too_deep()


def _too_deep() -> InvalidValue:
    return InvalidValue(f"Attributes must be at most {MAX_DEPTH} levels deep.")
