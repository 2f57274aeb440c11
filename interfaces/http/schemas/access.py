"""Signing in, and sessions: the bodies of requests, and the answers."""

from collections.abc import Sequence
from typing import Annotated, Final, Self
from uuid import UUID

from msgspec import Struct
from pydantic import ConfigDict, Field, model_validator

from application.access import sessions
from application.access.links import MAX_NAME_LENGTH, parse_local_name
from application.access.sessions import Via
from application.identity import CallerKind, Permission, Preset
from application.timestamps import Timestamp, timestamp
from interfaces.http.protocol.cursors import PageParameters
from interfaces.http.protocol.fields import Parsed, Schema, invalid
from interfaces.http.protocol.validation import RequestModel

_MAX_PROOF: Final = 8192

LocalNameField = Annotated[
    str,
    Parsed(
        parse_local_name,
        {
            "type": "string",
            "minLength": 1,
            "maxLength": MAX_NAME_LENGTH,
            "pattern": f"^[!-9;-~]{{1,{MAX_NAME_LENGTH}}}$",
            "description": "The session's actor is `local:<name>`; by default the token's name.",
        },
    ),
]


ProofField = Annotated[str, Field(strict=True, min_length=1, max_length=_MAX_PROOF)]


class SignInLinkBody(RequestModel):
    name: LocalNameField | None = None


def _one_member(schema: Schema) -> None:
    """Describe that one member is given, and the other one not."""
    schema |= {"minProperties": 1, "maxProperties": 1}
    for member in schema["properties"].values():
        del member["default"]


class SignInBody(RequestModel):
    """Either the code of a sign-in link, or a token; the other one is empty."""

    model_config = ConfigDict(json_schema_extra=_one_member)

    code: ProofField = ""
    token: ProofField = ""

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if bool(self.code) == bool(self.token):
            raise invalid("Must have either `code` or `token`.")
        return self


class SignInLink(Struct, frozen=True):
    """`url` signs in once. It is shown in this answer only: a repeat of the request has null."""

    url: str | None
    expires_at: Timestamp


class SignInMethods(Struct, frozen=True):
    """`oidc`: whether `/auth/login` leads to a provider."""

    oidc: bool
    token: bool


class SessionListParameters(PageParameters):
    """Only the page."""


class Session(Struct, frozen=True, kw_only=True):
    """`current` is the session of this request; `last_seen_at` may be two minutes old."""

    id: UUID
    actor: str
    name: str | None
    via: Via
    created_at: Timestamp
    last_seen_at: Timestamp
    expires_at: Timestamp
    current: bool

    @classmethod
    def of(cls, session: sessions.Session, current: str | None) -> Self:
        """`current` is the credential of the request."""
        return cls(
            id=session.id,
            actor=session.actor,
            name=session.name,
            via=session.via,
            created_at=timestamp(session.created_at),
            last_seen_at=timestamp(session.last_seen_at),
            expires_at=timestamp(session.expires_at),
            current=session.credential == current,
        )


class SessionList(Struct, frozen=True, kw_only=True):
    """A page may have few items: continue as long as there is a `next_cursor`."""

    items: Sequence[Session]
    next_cursor: str | None
    position: int


class Me(Struct, frozen=True, kw_only=True):
    """`preset` is the one with exactly these permissions; `expires_at` null means never."""

    actor: str
    name: str | None
    kind: CallerKind
    permissions: Sequence[Permission]
    preset: Preset | None
    expires_at: Timestamp | None
