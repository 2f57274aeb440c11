"""What requests about the audit may hold."""

from typing import Annotated, Final
from uuid import UUID

from msgspec.structs import replace
from pydantic import Field

from application.audit.search import AuditQuery
from application.log.search import EventFilter, parse_type
from domain.errors import InvalidValue
from domain.values import EmailAddress
from interfaces.http.protocol.cursors import PageParameters
from interfaces.http.protocol.fields import (
    UUID_SCHEMA,
    Parsed,
    Schema,
    TimeBoundField,
    comma_list,
    parse_uuid,
)
from interfaces.http.protocol.headers import is_visible_ascii
from interfaces.http.protocol.json_schemas import EVENT_TYPE
from interfaces.http.protocol.validation import RequestModel

_MAX_CHARACTERS: Final = 255
# Visible ASCII, except the comma.
_NAME: Final[Schema] = {
    "type": "string",
    "minLength": 1,
    "maxLength": _MAX_CHARACTERS,
    "pattern": r"^[!-+\-.-~]+$",
}
_USER: Final[Schema] = {"anyOf": [UUID_SCHEMA, {"type": "string", "format": "email"}]}


def _name(text: str) -> str:
    if not is_visible_ascii(text, _MAX_CHARACTERS):
        raise InvalidValue(f"Must be 1 to {_MAX_CHARACTERS} visible ASCII characters.")
    return text


def _user(text: str) -> UUID | EmailAddress:
    return EmailAddress.parse(text) if "@" in text else parse_uuid(text)


Names = Annotated[tuple[str, ...], comma_list(_name, _NAME)]


class AuditFilters(RequestModel):
    actor: Names = Field(default=(), description="Such as `token:admin` or `system:import`.")
    on_behalf_of: Names = ()
    user: Annotated[UUID | EmailAddress, Parsed(_user, _USER)] | None = Field(
        default=None, description="A user's id, or the e-mail address a user has now."
    )
    types: Annotated[tuple[str, ...], comma_list(parse_type, EVENT_TYPE)] = Field(
        default=(), description="Such as `user.renamed`, or `user.*` for all of a kind."
    )
    correlation_id: Names = Field(default=(), description="The `X-Request-ID` of a command.")
    from_: TimeBoundField | None = Field(
        default=None, alias="from", description="Recorded then or later."
    )
    to: TimeBoundField | None = Field(default=None, description="Recorded before then.")

    def query(self, user: UUID | None, *, every_kind: bool) -> AuditQuery:
        """What is asked for, from the newest on."""
        wanted = EventFilter.parse(self.types, user=None, every_kind=every_kind)
        return AuditQuery(
            actors=_distinct(self.actor),
            on_behalf_of=_distinct(self.on_behalf_of),
            correlation_ids=_distinct(self.correlation_id),
            user=user,
            types=tuple(sorted(wanted.types)),
            kinds=tuple(sorted(wanted.kinds)),
            since=self.from_,
            until=self.to,
        )


class AuditParameters(PageParameters, AuditFilters):
    def query(self, user: UUID | None, *, every_kind: bool) -> AuditQuery:
        return replace(super().query(user, every_kind=every_kind), limit=self.limit)


def _distinct(values: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(sorted(set(values)))
