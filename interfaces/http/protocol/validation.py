"""Checks fields: pydantic finds all errors at once, and each gets a pointer."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeVar, cast
from urllib.parse import parse_qsl, quote

from fastapi import Request
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from interfaces.http.protocol.refusals import FieldError, InvalidRequest, MalformedRequest

T = TypeVar("T")
U = TypeVar("U")

_DETAILS: Final[Mapping[str, str]] = {
    "missing": "Is required.",
    "extra_forbidden": "Is not known here.",
    "dict_type": "Must be an object.",
    "model_type": "Must be an object.",
    "model_attributes_type": "Must be an object.",
    "bool_type": "Must be true or false.",
}
_MAX_FIELDS: Final = 50
# No member has a longer name, and to quote one takes time for each character.
_MAX_NAME: Final = 200


class RequestModel(BaseModel):
    """What a request may hold; unknown names are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class NoParameters(RequestModel):
    """No query parameters at all."""


def fields(adapter: TypeAdapter[T], value: object) -> T:
    """A body's fields; raises `InvalidRequest` with all that is wrong, by JSON pointer."""
    if isinstance(value, dict) and len(cast("dict[str, object]", value)) > _MAX_FIELDS:
        # Each unknown one is an error of its own: the answer would be far larger than the request.
        raise InvalidRequest.at("#", f"Must have at most {_MAX_FIELDS} members.")
    try:
        return adapter.validate_python(value)
    except ValidationError as error:
        raise InvalidRequest(
            [FieldError(_pointer(e["loc"]), _detail(e)) for e in _errors(error)]
        ) from None


def parameters(request: Request, adapter: TypeAdapter[T]) -> T:
    """The query parameters; raises `InvalidRequest` with all that is wrong with them."""
    raw: dict[str, str] = {}
    errors: list[FieldError] = []
    for name, value in _query(request):
        if name in raw:
            errors.append(FieldError(name, "May be given once only; separate values by commas."))
        elif "\0" in value:
            errors.append(FieldError(name, "Must not contain U+0000."))
        raw[name] = value
    try:
        values = adapter.validate_python(raw)
    except ValidationError as error:
        errors += [FieldError(str(e["loc"][0]), _detail(e)) for e in _errors(error)]
    else:
        if not errors:
            return values
    raise InvalidRequest(errors)


def both(one: Callable[[], T], other: Callable[[], U]) -> tuple[T, U]:
    """The results of both checks; raises `InvalidRequest` with the errors of both."""
    try:
        first = one()
    except InvalidRequest as refused:
        try:
            other()
        except InvalidRequest as too:
            raise InvalidRequest([*refused.errors, *too.errors]) from None
        raise
    return first, other()


def _query(request: Request) -> Sequence[tuple[str, str]]:
    raw: bytes = request.scope["query_string"]
    if not raw:
        return ()
    try:
        return parse_qsl(
            raw.decode("ascii"),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=_MAX_FIELDS,
        )
    except ValueError:
        raise MalformedRequest("The query string is malformed.") from None


def _errors(error: ValidationError) -> list[ErrorDetails]:
    return error.errors(include_url=False, include_context=False, include_input=False)


def _detail(error: ErrorDetails) -> str:
    return _DETAILS.get(error["type"], error["msg"])


def _pointer(location: tuple[int | str, ...]) -> str:
    """A JSON pointer as a URI fragment (RFC 6901, section 6); a long name is cut."""
    names = (str(part)[:_MAX_NAME] for part in location)
    escaped = (name.replace("~", "~0").replace("/", "~1") for name in names)
    return "#" + "".join("/" + quote(part, safe="~") for part in escaped)
