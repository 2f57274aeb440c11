"""What a request for an export may hold: the filters are those of the lists, by the same rules."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final, Literal, cast, get_args
from uuid import UUID

from pydantic import (
    BaseModel,
    BeforeValidator,
    Field,
    PlainValidator,
    PrivateAttr,
    TypeAdapter,
    WithJsonSchema,
    field_validator,
)

from application.exports.requests import Format, What
from interfaces.http.protocol.fields import (
    MAX_ELEMENTS,
    Parsed,
    Schema,
    invalid,
    list_of_one,
    one_of,
)
from interfaces.http.protocol.validation import RequestModel
from interfaces.http.schemas.audit import AuditFilters
from interfaces.http.schemas.users import UserFilters
from projections.folding import search_words

_WHATS: Final[tuple[str, ...]] = get_args(What)
_FORMATS: Final[tuple[str, ...]] = get_args(Format)
_MAX_FILTERS: Final = 50
# The filters whose values a job may show: none of them says anything about a person.
_SHOWN: Final = frozenset({"ids", "role", "status", "sort", "from", "to"})

_What = Annotated[str, Parsed(one_of(_WHATS), {"type": "string", "enum": _WHATS})]
_Format = Annotated[str, Parsed(one_of(_FORMATS), {"type": "string", "enum": _FORMATS})]


class _Body(RequestModel):
    """The members of both kinds; it reports the errors if `what` is wrong."""

    what: _What
    format: _Format
    filters: Any = None

    _given: Mapping[str, Any] = PrivateAttr(default_factory=dict[str, Any])

    @property
    def form(self) -> Format:
        return cast("Format", self.format)

    @property
    def shown_filters(self) -> Mapping[str, Any]:
        """The filters that are given, as a job shows them: null for what may name a person."""
        given = {name: each for name, each in self._given.items() if each is not None}
        shown = {name: each if name in _SHOWN else None for name, each in given.items()}
        if isinstance(self, AuditExport) and isinstance(self.filters.user, UUID):
            shown["user"] = str(self.filters.user)
        return shown


def _filters_of(model: type[BaseModel]) -> BeforeValidator:
    """Filters as the query string has them: several values may also be an array."""
    properties: Mapping[str, Schema] = model.model_json_schema()["properties"]
    lists = frozenset(name for name, each in properties.items() if each.get("type") == "array")

    def as_parameters(raw: object) -> object:
        if not isinstance(raw, dict):
            raise invalid("Must be an object.")
        given = cast("dict[str, object]", raw)
        if len(given) > _MAX_FILTERS:
            raise invalid(f"Must have at most {_MAX_FILTERS} members.")
        return {
            name: _comma_list(value) if name in lists else value for name, value in given.items()
        }

    return BeforeValidator(as_parameters)


class _ExportedUsers(UserFilters):
    @field_validator("q")
    @classmethod
    def _has_a_word(cls, q: str | None) -> str | None:
        if q is not None and not search_words([q]):
            raise invalid("Must have a word to search for: a letter or a digit.")
        return q


class UsersExport(_Body):
    what: Literal["users"]  # pyright: ignore[reportIncompatibleVariableOverride]
    filters: Annotated[_ExportedUsers, _filters_of(UserFilters)] = Field(
        default_factory=_ExportedUsers
    )


class AuditExport(_Body):
    what: Literal["audit"]  # pyright: ignore[reportIncompatibleVariableOverride]
    filters: Annotated[AuditFilters, _filters_of(AuditFilters)] = Field(
        default_factory=AuditFilters
    )


_KINDS: Final[Mapping[object, TypeAdapter[Any]]] = {
    "users": TypeAdapter(UsersExport),
    "audit": TypeAdapter(AuditExport),
}
_ANY: Final[TypeAdapter[Any]] = TypeAdapter(_Body)


def _by_kind(value: object) -> _Body:
    """The body by the rules of its kind, so that no error is reported for the other kind."""
    members = cast("dict[str, Any]", value) if isinstance(value, dict) else {}
    what = members.get("what")
    body = (_KINDS.get(what, _ANY) if isinstance(what, str) else _ANY).validate_python(value)
    body._given = members.get("filters") or {}
    return body


def _comma_list(value: object) -> object:
    """An array of texts as one text; the filter's own check refuses anything else."""
    if not isinstance(value, list):
        return value
    values = cast("list[object]", value)
    if not values or not all(isinstance(each, str) for each in values):
        return values
    # One more than a list may have, which its own check refuses.
    return ",".join(list_of_one(cast("str", each)) for each in values[: MAX_ELEMENTS + 1])


def _schema(body: type[_Body], filters: type[BaseModel]) -> Schema:
    return {
        "title": body.__name__,
        "type": "object",
        "required": ["what", "format"],
        "properties": {
            "what": {"type": "string", "const": get_args(body.model_fields["what"].annotation)[0]},
            "format": {"type": "string", "enum": _FORMATS},
            "filters": _filters_schema(filters),
        },
        "additionalProperties": False,
    }


def _filters_schema(model: type[BaseModel]) -> Schema:
    """A filter that takes several values also takes one value alone."""
    schema = model.model_json_schema()
    properties: Mapping[str, Schema] = schema["properties"]
    return {
        "type": "object",
        "properties": {name: _filter_schema(each) for name, each in properties.items()},
        "additionalProperties": False,
    }


def _filter_schema(member: Schema) -> Schema:
    described = {name: member[name] for name in ("description",) if name in member}
    if member.get("type") != "array":
        return member
    variants: Sequence[Schema] = [
        {name: each for name, each in member.items() if name not in ("default", "description")},
        member["items"],
    ]
    return {"anyOf": variants, **described}


ExportBody = Annotated[
    UsersExport | AuditExport,
    PlainValidator(_by_kind),
    WithJsonSchema(
        {
            "title": "ExportBody",
            "description": "The filters are the parameters of `GET /v1/users` or `GET /v1/audit`.",
            "anyOf": [_schema(UsersExport, UserFilters), _schema(AuditExport, AuditFilters)],
        }
    ),
]
