"""Types of fields and parameters: parsed from text at the boundary, described as JSON Schema."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final, TypeVar
from uuid import RFC_4122, UUID

from pydantic import (
    BeforeValidator,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    WithJsonSchema,
)
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from domain.attributes import MAX_NUMBER
from domain.errors import InvalidValue

# A comma after an even number of backslashes separates two values.
_SEPARATOR: Final = re.compile(r"(?<!\\)((?:\\\\)*),")
_COMMAS: Final = re.compile(r"(\\*),")


def split_list(text: str, limit: int = 0) -> list[str]:
    """The values of a list: at least one, which may be empty.

    With a `limit`, the value after that many is the rest of the text.
    """
    if "\\" not in text:
        return text.split(",", limit or -1)
    *pieces, last = _SEPARATOR.split(text, limit)
    values = [
        _unescaped(piece) + backslashes[: len(backslashes) // 2]
        for piece, backslashes in zip(pieces[::2], pieces[1::2], strict=True)
    ]
    return [*values, _unescaped(last)]


def _unescaped(piece: str) -> str:
    """Each comma in it has an odd number of backslashes before it, which are halved."""
    if "\\\\," not in piece:
        return piece.replace("\\,", ",")
    return _COMMAS.sub(lambda found: found[1][: len(found[1]) // 2] + ",", piece)


def list_of_one(value: str) -> str:
    """A list with this value alone."""
    if "\\," not in value:
        return value.replace(",", "\\,")
    return _COMMAS.sub(lambda found: found[1] * 2 + "\\,", value)


T = TypeVar("T")
Schema = dict[str, Any]

# The message of a field error of this type is our own, and is the whole detail.
INVALID: Final = "invalid"
MAX_ELEMENTS: Final = 200

_UUID: Final = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_VERSIONS: Final = range(1, 9)
_WHOLE: Final = re.compile(r"[0-9]{1,18}")
_TIME: Final = re.compile(
    r"(\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:)(\d\d)(?:\.(\d{1,30}))?([Zz]|[+ -]\d\d:\d\d)", re.ASCII
)
# RFC 3339, section 5.7: it is the last of a day in UTC. It is read as the second after it.
_LEAP_SECOND: Final = "60"
_LAST_MINUTE: Final = (23, 59)
_MICROSECOND_DIGITS: Final = 6
_MICROSECOND: Final = timedelta(microseconds=1)


@dataclass(frozen=True, eq=False)
class Parsed:
    """The annotation of a value that `parse` makes from a string; it raises `InvalidValue`."""

    parse: Callable[[str], object]
    schema: Schema

    def __get_pydantic_core_schema__(self, _: object, __: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self._validate)

    def __get_pydantic_json_schema__(self, _: CoreSchema, __: GetJsonSchemaHandler) -> Schema:
        # A copy, because a field may add to it, such as a default.
        return dict(self.schema)

    def _validate(self, raw: object) -> object:
        if not isinstance(raw, str):
            raise invalid("Must be a string.")
        try:
            return self.parse(raw)
        except InvalidValue as error:
            raise invalid(str(error)) from None


def invalid(detail: str) -> PydanticCustomError:
    """The error that a validator raises; the detail must not repeat the value."""
    return PydanticCustomError(INVALID, "{detail}", {"detail": detail})


def comma_list(
    parse: Callable[[str], object], schema: Schema, beyond_ascii: int | None = None
) -> Parsed:
    """Several values in one parameter, with up to `beyond_ascii` characters that are not ASCII."""

    def parse_list(text: str) -> tuple[object, ...]:
        elements = split_list(text, MAX_ELEMENTS)
        if len(elements) > MAX_ELEMENTS:
            raise InvalidValue(f"Must have at most {MAX_ELEMENTS} elements.")
        if (
            beyond_ascii is not None
            and len(text) - len(text.encode("ascii", "ignore")) > beyond_ascii
        ):
            raise InvalidValue(f"Must have at most {beyond_ascii} characters that are not ASCII.")
        return tuple(parse(element) for element in elements)

    bounds: Schema = {"type": "array", "minItems": 1, "maxItems": MAX_ELEMENTS}
    return Parsed(parse_list, {**bounds, "items": schema})


def one_of(values: tuple[str, ...]) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in values:
            raise InvalidValue(f"Must be one of {', '.join(values)}.")
        return text

    return parse


def whole_number(minimum: int, maximum: int, **schema: object) -> Parsed:
    def parse(text: str) -> int:
        if _WHOLE.fullmatch(text) is None or not minimum <= (value := int(text)) <= maximum:
            raise InvalidValue(f"Must be a whole number from {minimum} to {maximum}.")
        return value

    return Parsed(parse, {"type": "integer", "minimum": minimum, "maximum": maximum, **schema})


def parse_uuid(text: str) -> UUID:
    """A UUID of RFC 9562 in its usual form; Nil and Max are none. Raises `InvalidValue`."""
    if _UUID.fullmatch(text) is None:
        raise InvalidValue("Must be a UUID, such as 019a8f2e-6c1b-7d3a-9f00-2b1c4d5e6f70.")
    value = UUID(text)
    if value.variant != RFC_4122 or value.version not in _VERSIONS:
        raise InvalidValue("Must be a UUID of a version from 1 to 8.")
    return value


def parse_time(text: str) -> datetime:
    """The last microsecond that is not after a time of RFC 3339, in UTC. Raises `InvalidValue`.

    So what is recorded up to it is what is recorded up to that time.
    """
    return _parsed_time(text)[0]


def parse_bound(text: str) -> datetime:
    """The first microsecond that is not before a time of RFC 3339, in UTC. Raises `InvalidValue`.

    So what is recorded before it is what is recorded before that time.
    """
    moment, is_later = _parsed_time(text)
    try:
        return moment + _MICROSECOND if is_later else moment
    except OverflowError:
        raise _no_such_time() from None


def _parsed_time(text: str) -> tuple[datetime, bool]:
    """The microsecond of a time, and whether the time is later in it."""
    match = _TIME.fullmatch(text)
    if match is None:
        raise InvalidValue("Must be a time of RFC 3339 with an offset: 2026-03-01T09:30:00Z.")
    to_the_minute, second, digits, offset = match.groups()
    digits = digits or ""
    is_leap_second = second == _LEAP_SECOND
    clock = f"{to_the_minute.upper()}{'59' if is_leap_second else second}"
    fraction = digits[:_MICROSECOND_DIGITS].ljust(_MICROSECOND_DIGITS, "0")
    try:
        # A plus sign that was not percent-encoded arrives as a space.
        moment = datetime.fromisoformat(f"{clock}.{fraction}{offset.upper().replace(' ', '+')}")
        moment = moment.astimezone(UTC)
        if is_leap_second:
            if (moment.hour, moment.minute) != _LAST_MINUTE:
                raise _no_such_time()
            moment += timedelta(seconds=1)
    except (ValueError, OverflowError):
        raise _no_such_time() from None
    return moment, digits[_MICROSECOND_DIGITS:].strip("0") != ""


def _no_such_time() -> InvalidValue:
    return InvalidValue("There is no such time.")


_HEX: Final = "[0-9a-fA-F]"
UUID_SCHEMA: Final[Schema] = {
    "type": "string",
    "format": "uuid",
    "pattern": f"^{_HEX}{{8}}-{_HEX}{{4}}-[1-8]{_HEX}{{3}}-[89abAB]{_HEX}{{3}}-{_HEX}{{12}}$",
}


def whole(raw: object) -> object:
    """JSON has one kind of number: 3.0 is 3."""
    return int(raw) if isinstance(raw, float) and raw.is_integer() else raw


PositiveField = Annotated[
    int,
    BeforeValidator(whole),
    Field(strict=True, ge=1, le=MAX_NUMBER),
    WithJsonSchema({"type": "integer", "minimum": 1, "maximum": MAX_NUMBER}),
]
PositionField = Annotated[
    int,
    BeforeValidator(whole),
    Field(strict=True, ge=0, le=MAX_NUMBER),
    WithJsonSchema({"type": "integer", "minimum": 0, "maximum": MAX_NUMBER}),
]
UuidField = Annotated[UUID, Parsed(parse_uuid, UUID_SCHEMA)]
_TIME_SCHEMA: Final[Schema] = {"type": "string", "format": "date-time"}
TimeField = Annotated[datetime, Parsed(parse_time, _TIME_SCHEMA)]
TimeBoundField = Annotated[datetime, Parsed(parse_bound, _TIME_SCHEMA)]
