"""Opening a stream: the request of the client, and its principal."""

from typing import Annotated, Any, Final, TypeVar, cast
from urllib.parse import parse_qsl
from uuid import UUID

import msgspec
from msgspec import Meta, Struct

from application.access.callers import Callers
from application.access.permissions import NEEDS
from application.access.ports import Presented
from application.identity import Permission, Principal
from application.live.tickets import Tickets
from application.log.search import EventFilter, parse_type
from domain.errors import InvalidValue
from interfaces.stream.closing import CloseCode, Closed
from interfaces.strict_json import BadJson, parse_json

_MAX_TYPES: Final = 200
_MAX_PARAMETERS: Final = 20

_FORMS: Final = {
    "after": "a position (0 to 2^53), or null",
    "types": f"a list of at most {_MAX_TYPES} event types",
    "user": "the id of a user",
    "token": "a string",
    "ticket": "a string",
}

_NEEDED: Final[Permission] = cast("Permission", NEEDS["stream_events"])

Position = Annotated[int, Meta(ge=0, le=2**53)]
Types = Annotated[tuple[str, ...], Meta(max_length=_MAX_TYPES)]


class StreamRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`after` None means only new events; `types` and `user` filter as in `GET /v1/events`."""

    after: Position | None = None
    types: Types | None = None
    user: UUID | None = None

    def filter_for(self, principal: Principal) -> EventFilter:
        """Only administrators get other kinds than `user`."""
        every_kind = principal.may("admin")
        return EventFilter.parse(self.types or (), user=self.user, every_kind=every_kind)


class FirstMessage(StreamRequest, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Its token or ticket identifies the client; do not log its `repr`."""

    token: str | None = None
    ticket: str | None = None


R = TypeVar("R", bound=StreamRequest)


def from_message(message: str | bytes) -> FirstMessage:
    """Raises `Closed`."""
    raw = message.encode() if isinstance(message, str) else message
    try:
        members = parse_json(raw, "The first message")
    except BadJson as error:
        raise Closed(CloseCode.BAD_REQUEST, str(error)) from None
    if not isinstance(members, dict):
        raise Closed(CloseCode.BAD_REQUEST, "The first message is no JSON object.")
    asked = _checked(cast(dict[str, Any], members), FirstMessage, strict=True)
    if asked.token is not None and asked.ticket is not None:
        raise Closed(CloseCode.BAD_REQUEST, "Send a token or a ticket, not both.")
    return asked


def from_query(query: bytes) -> StreamRequest:
    """The query parameters of SSE, for a client that signs in by a header. Raises `Closed`."""
    try:
        pairs = parse_qsl(
            query.decode("ascii"),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=_MAX_PARAMETERS,
        )
    except ValueError:
        raise Closed(CloseCode.BAD_REQUEST, "The query string is malformed.") from None
    values: dict[str, Any] = dict(pairs)
    if len(values) < len(pairs):
        raise Closed(CloseCode.BAD_REQUEST, "A parameter may be given once only.")
    if "types" in values:
        values["types"] = values["types"].split(",")
    return _checked(values, StreamRequest, strict=False)


def _checked(values: dict[str, Any], kind: type[R], *, strict: bool) -> R:
    """Raises `Closed` with the name of a value that is not acceptable."""
    types = {field.name: field.type for field in msgspec.structs.fields(kind)}
    unknown = next((name for name in values if name not in types), None)
    if unknown is not None:
        raise Closed(CloseCode.BAD_REQUEST, f"{unknown[:40]!r} is not known here.")
    converted: dict[str, Any] = {}
    for name, value in values.items():
        try:
            converted[name] = msgspec.convert(value, types[name], strict=strict)
        except msgspec.ValidationError:
            raise Closed(CloseCode.BAD_REQUEST, f"{name} must be {_FORMS[name]}.") from None
    request = kind(**converted)
    try:
        for name in request.types or ():
            parse_type(name)
    except InvalidValue as error:
        raise Closed(CloseCode.BAD_REQUEST, f"types: {error}") from None
    return request


async def by_header(presented: Presented | None, callers: Callers) -> Principal:
    """The principal of what the request carries. Raises `Closed` and `Unavailable`."""
    return _admitted(None if presented is None else await callers.of(presented))


async def by_message(message: FirstMessage, callers: Callers, tickets: Tickets) -> Principal:
    """The principal of a token or ticket. Raises `Closed` and `Unavailable`."""
    if message.token is not None:
        return _admitted(await callers.of(Presented("bearer", message.token)))
    if message.ticket is not None:
        principal = await tickets.redeem(message.ticket)
        # The token may have been revoked since the ticket was issued.
        is_valid = principal is not None and await callers.is_valid(principal)
        return _admitted(principal if is_valid else None)
    return _admitted(None)


def _admitted(principal: Principal | None) -> Principal:
    if principal is None:
        raise Closed(CloseCode.UNAUTHENTICATED, "The token or ticket is missing or not valid.")
    if not principal.may(_NEEDED):
        raise Closed(CloseCode.FORBIDDEN, f"This needs the permission {_NEEDED}.")
    return principal
