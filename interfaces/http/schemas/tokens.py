"""Tokens: the bodies of commands, and the answers, of which two show a secret."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any, Final, Self, cast, get_args
from uuid import UUID

from msgspec import Struct
from pydantic import (
    BeforeValidator,
    Field,
    PlainValidator,
    WithJsonSchema,
    model_validator,
)

from application.access.tokens_credentials import permissions_of
from application.access.tokens_states import TokenAt
from application.identity import PERMISSIONS, PRESETS, Permission, Preset
from application.timestamps import Timestamp, timestamp
from domain.token.values import MAX_NAME_LENGTH, MAX_OVERLAP, parse_name
from interfaces.http.protocol.fields import Parsed, Schema, TimeField, invalid, one_of, whole
from interfaces.http.protocol.validation import RequestModel

_PRESETS: Final[tuple[Preset, ...]] = get_args(Preset)
_MAX_OVERLAP_SECONDS: Final = int(MAX_OVERLAP.total_seconds())


def _permissions(raw: object) -> frozenset[Permission]:
    names = cast("list[object]", raw) if isinstance(raw, list) else []
    if not 1 <= len(names) <= len(PERMISSIONS) or not all(name in PERMISSIONS for name in names):
        raise invalid(f"Must be a list of permissions: {', '.join(PERMISSIONS)}.")
    return frozenset(cast("list[Permission]", names))


_NAME_SCHEMA: Final[Schema] = {
    "type": "string",
    "format": "person-name",
    "minLength": 1,
    "maxLength": MAX_NAME_LENGTH,
    "description": "The program that uses the token. A label, stored open: not the name of a person.",
}
_EXPIRY_SCHEMA: Final[Schema] = {
    "type": "string",
    "format": "date-time",
    "description": "In the future; without it, the token does not expire.",
}
_PRESET_SCHEMA: Final[Schema] = {"type": "string", "enum": list(_PRESETS)}
_PERMISSIONS_SCHEMA: Final[Schema] = {
    "type": "array",
    "minItems": 1,
    "maxItems": len(PERMISSIONS),
    "items": {"type": "string", "enum": list(PERMISSIONS)},
}


class _CreateToken(RequestModel):
    name: Annotated[str, Parsed(parse_name, _NAME_SCHEMA)]
    preset: Annotated[Preset, Parsed(one_of(_PRESETS), _PRESET_SCHEMA)] | None = None
    permissions: Annotated[frozenset[Permission], PlainValidator(_permissions)] | None = None
    expires_at: TimeField | None = None

    @model_validator(mode="after")
    def _has_either(self) -> Self:
        if (self.preset is None) == (self.permissions is None):
            raise invalid("Must have either `preset` or `permissions`.")
        return self

    @property
    def granted(self) -> frozenset[Permission]:
        """The permissions that the body asks for."""
        return self.permissions or (PRESETS[self.preset] if self.preset else frozenset())


def _variant(title: str, choice: str, schema: Schema) -> Schema:
    return {
        "title": title,
        "type": "object",
        "required": ["name", choice],
        "properties": {"name": _NAME_SCHEMA, choice: schema, "expires_at": _EXPIRY_SCHEMA},
        "additionalProperties": False,
    }


CreateTokenBody = Annotated[
    _CreateToken,
    WithJsonSchema(
        {
            "title": "CreateTokenBody",
            "description": "The permissions of a preset, or those that are listed.",
            "anyOf": [
                _variant("PresetToken", "preset", _PRESET_SCHEMA),
                _variant("PermissionsToken", "permissions", _PERMISSIONS_SCHEMA),
            ],
        }
    ),
]


class RotateTokenBody(RequestModel):
    overlap_seconds: Annotated[
        int,
        BeforeValidator(whole),
        Field(strict=True, ge=0, le=_MAX_OVERLAP_SECONDS),
        WithJsonSchema({"type": "integer", "minimum": 0, "maximum": _MAX_OVERLAP_SECONDS}),
    ] = Field(default=0, description="For so long the former secret is accepted too.")

    @property
    def overlap(self) -> timedelta:
        return timedelta(seconds=self.overlap_seconds)


class Token(Struct, frozen=True, kw_only=True):
    """A token that is not revoked; one that has expired is refused, and is listed until it is revoked.

    `last_used_at` is exact to about a minute. `former_expires_at` is when the secret before the last
    rotation ends, or ended; null: at the rotation, or there was none.
    """

    id: UUID
    name: str
    permissions: Sequence[Permission]
    created_at: Timestamp
    expires_at: Timestamp | None
    last_used_at: Timestamp | None
    created_by: str
    former_expires_at: Timestamp | None

    @classmethod
    def of(cls, state: TokenAt, last_used_at: datetime | None, **more: Any) -> Self:
        """`more` are the fields of a subclass."""
        config = state.config
        return cls(
            id=state.id,
            name=config.name,
            permissions=permissions_of(config.permissions),
            created_at=timestamp(state.created_at),
            expires_at=config.expires_at and timestamp(config.expires_at),
            last_used_at=last_used_at and timestamp(last_used_at),
            created_by=state.created_by,
            former_expires_at=config.former_expires_at and timestamp(config.former_expires_at),
            **more,
        )


class TokenWithSecret(Token, frozen=True, kw_only=True):
    """`token` is the secret, `rbk_…`: it is in this answer only. Null in the answer to a repeat."""

    token: str | None


class TokenList(Struct, frozen=True, kw_only=True):
    """A page may hold few items, or none: continue as long as there is a `next_cursor`."""

    items: Sequence[Token]
    next_cursor: str | None
    position: int
