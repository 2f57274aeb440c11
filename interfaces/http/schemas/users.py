"""Requests about users: the bodies of commands and the parameters of queries."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final, cast, get_args
from uuid import UUID

from msgspec.structs import replace
from pydantic import ConfigDict, Field, PlainValidator, WithJsonSchema, with_config
from typing_extensions import TypedDict

from application.queries.directory import SortField, UserList
from domain.attributes import MAX_KEYS, parse_attributes, parse_patch
from domain.email import MAX_EMAIL_LENGTH
from domain.errors import InvalidValue
from domain.user.state import Status
from domain.values import (
    DEFAULT_ROLE,
    MAX_EXTERNAL_ID_LENGTH,
    MAX_IMPORT_KEY_LENGTH,
    MAX_NAME_LENGTH,
    MAX_REASON_LENGTH,
    ROLE_PATTERN,
    EmailAddress,
    ExternalId,
    PersonName,
    Role,
    SoughtAddress,
    parse_import_key,
    parse_reason,
)
from interfaces.http.protocol.cursors import PageParameters
from interfaces.http.protocol.fields import (
    UUID_SCHEMA,
    Parsed,
    Schema,
    TimeField,
    UuidField,
    comma_list,
    invalid,
    one_of,
    parse_uuid,
    whole_number,
)
from interfaces.http.protocol.json_schemas import JSON_KEY
from interfaces.http.protocol.validation import RequestModel

_SORTS: Final[tuple[str, ...]] = get_args(SortField)
_SORT_NAMES: Final = (*_SORTS, *(f"-{name}" for name in _SORTS))
_STATUSES: Final[tuple[str, ...]] = get_args(Status)

# Each of them may take some microseconds to bring an address into the form for comparison.
_MAX_BEYOND_ASCII: Final = 250
_EMAIL: Final[Schema] = {"type": "string", "format": "email", "maxLength": MAX_EMAIL_LENGTH}
_ROLE: Final[Schema] = {"type": "string", "pattern": f"^{ROLE_PATTERN}$"}
_EXTERNAL_ID: Final[Schema] = {
    "type": "string",
    "minLength": 1,
    "maxLength": MAX_EXTERNAL_ID_LENGTH,
    "pattern": r"^[^\u0000-\u001f\u007f-\u009f]*$",
    "description": "Another system's name for the user, unique.",
}
_LISTED_EXTERNAL_ID: Final[Schema] = {
    **_EXTERNAL_ID,
    "pattern": r"^[^\u0000-\u001f\u007f-\u009f,]*$",
}


def _object_parsed_by(
    parse: Callable[[Mapping[str, Any]], dict[str, Any]],
) -> Callable[[object], dict[str, Any]]:
    def parsed(raw: object) -> dict[str, Any]:
        if not isinstance(raw, dict):
            raise invalid("Must be an object.")
        try:
            return parse(cast("dict[str, Any]", raw))
        except InvalidValue as error:
            raise invalid(str(error)) from None

    return parsed


NameField = Annotated[
    PersonName,
    Parsed(
        PersonName.parse,
        {
            "type": "string",
            "format": "person-name",
            "minLength": 1,
            "maxLength": MAX_NAME_LENGTH,
            "description": "Without control or invisible characters; trimmed and kept in NFC.",
        },
    ),
]
EmailField = Annotated[
    EmailAddress,
    Parsed(
        EmailAddress.parse,
        {
            **_EMAIL,
            "description": "Kept as typed; all its spellings count as one address.",
        },
    ),
]
RoleField = Annotated[Role, Parsed(Role.parse, _ROLE)]
ExternalIdField = Annotated[ExternalId, Parsed(ExternalId.parse, _EXTERNAL_ID)]
AttributesField = Annotated[
    dict[str, Any],
    PlainValidator(_object_parsed_by(parse_attributes)),
    WithJsonSchema(
        {
            "type": "object",
            "maxProperties": MAX_KEYS,
            "propertyNames": JSON_KEY,
            "additionalProperties": True,
            "description": "Any JSON without U+0000 and lone surrogates, up to 64 keys, 16 KiB, "
            "8 levels and numbers up to ±2⁵³.",
        }
    ),
]
AttributePatchField = Annotated[
    dict[str, Any],
    PlainValidator(_object_parsed_by(parse_patch)),
    WithJsonSchema(
        {
            "type": "object",
            "propertyNames": JSON_KEY,
            "additionalProperties": True,
            "description": "A merge patch of the same values, up to 48 KiB; null removes an "
            "attribute.",
        }
    ),
]
ReasonField = Annotated[
    str,
    Parsed(
        parse_reason,
        {
            "type": "string",
            "format": "reason",
            "maxLength": MAX_REASON_LENGTH,
            "description": "As a name, but with line breaks and tabs. Personal data: sealed with "
            "the user's key, gone when erased.",
        },
    ),
]

ImportKeyField = Annotated[
    str,
    Parsed(
        parse_import_key,
        {
            "type": "string",
            "minLength": 1,
            "maxLength": MAX_IMPORT_KEY_LENGTH,
            "pattern": r"^[^\u0000-\u001f\u007f-\u009f]*$",
            "description": "In place of an id: the person's key in the directory that is imported. "
            "No second user is ever registered with it, also after a deletion or an erasure. "
            "Only the id is made from it, as a keyed digest; the key itself is not stored.",
        },
    ),
]


class RegisterBody(RequestModel):
    name: NameField
    email: EmailField
    role: RoleField = Field(
        default_factory=lambda: Role(DEFAULT_ROLE),
        description=f"`{DEFAULT_ROLE}` where it is not given.",
    )
    external_id: ExternalIdField | None = None
    attributes: AttributesField = Field(default_factory=dict[str, Any])
    id: UuidField | None = Field(default=None, description="Made where it is not given: a UUIDv7.")
    import_key: ImportKeyField | None = None


class ReplaceBody(RequestModel):
    name: NameField
    email: EmailField
    role: RoleField
    external_id: ExternalIdField | None
    attributes: AttributesField


@with_config(ConfigDict(extra="forbid"))
class ChangeBody(TypedDict, total=False):
    """A JSON merge patch (RFC 7396): what is left out stays as it is."""

    name: NameField
    email: EmailField
    role: RoleField
    external_id: ExternalIdField | None
    attributes: AttributePatchField


class ReasonBody(RequestModel):
    reason: ReasonField | None = None


class PastParameters(RequestModel):
    """One of both at most."""

    at: TimeField | None = None
    version: Annotated[int, whole_number(1, 2**53)] | None = None


class UserFilters(RequestModel):
    q: str | None = Field(
        default=None,
        max_length=MAX_NAME_LENGTH,
        description="All these words, as prefixes, in name or e-mail address.",
    )
    email: Annotated[
        tuple[SoughtAddress, ...], comma_list(SoughtAddress.parse, _EMAIL, _MAX_BEYOND_ASCII)
    ] = ()
    external_id: Annotated[
        tuple[ExternalId, ...], comma_list(ExternalId.parse, _LISTED_EXTERNAL_ID)
    ] = Field(default=(), description="A comma within one is written `\\,`.")
    ids: Annotated[tuple[UUID, ...], comma_list(parse_uuid, UUID_SCHEMA)] = ()
    role: Annotated[tuple[Role, ...], comma_list(Role.parse, _ROLE)] = ()
    status: Annotated[
        tuple[Status, ...], comma_list(one_of(_STATUSES), {"type": "string", "enum": _STATUSES})
    ] = Field(default=(), description="Active and suspended users where it is not given.")
    sort: Annotated[str, Parsed(one_of(_SORT_NAMES), {"type": "string", "enum": _SORT_NAMES})] = (
        "created_at"
    )

    def query(self) -> UserList:
        """What is asked for, from the beginning."""
        return UserList(
            words=self.q,
            emails=tuple(email.comparable for email in self.email),
            external_ids=tuple(external_id.text for external_id in self.external_id),
            ids=self.ids,
            roles=tuple(role.text for role in self.role),
            statuses=self.status,
            sort=cast("SortField", self.sort.removeprefix("-")),
            descending=self.sort.startswith("-"),
        )


class UserListParameters(PageParameters, UserFilters):
    def query(self) -> UserList:
        return replace(super().query(), limit=self.limit)
