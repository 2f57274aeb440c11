"""Blame: for each field of a user, the event that set its current value."""

from typing import Any, Final, Literal
from uuid import UUID

from msgspec import Struct, defstruct

from application.audit.search import EventLookup
from application.errors import UserGone
from application.timestamps import Timestamp, timestamp
from application.users.service import UserService
from application.users.states import UserAt
from domain.event import Erased, Event, Recorded
from domain.user.events import UserRegistered
from domain.user.state import PERSONAL

_FIELDS: Final = (
    *(name for name in UserRegistered.__struct_fields__ if name != "attributes"),
    "status",
)


class Blame(Struct, frozen=True, kw_only=True):
    """The current value of a field, and the event that set it; a hidden value is null."""

    value: Any
    since: Timestamp
    actor: str
    on_behalf_of: str | None
    event_id: UUID
    type: str
    version: int
    position: int
    correlation_id: str


UserBlame: Final = defstruct(
    "UserBlame",
    [
        ("id", UUID),
        ("version", int),
        *((name, Blame) for name in _FIELDS),
        ("attributes", dict[str, Blame] | None),
        ("personal", Literal["open", "sealed"]),
    ],
    namespace={
        "__doc__": "All fields of a user; `attributes` has one entry per key, and is null if hidden."
    },
    frozen=True,
    kw_only=True,
)


async def blame(
    commands: UserService, events: EventLookup, user_id: UUID, *, opened: bool
) -> Struct:
    """The event that set each current field of a user, as a `UserBlame`.

    Raises `UserNotFound`, `UserGone` for one that is deleted or erased, and `Unavailable`.
    """
    state = await commands.user_at(user_id)
    if state.user.status in ("deleted", "erased"):
        raise UserGone(state.user.status, state.version, state.updated_at)
    setters = state.setters
    # The first event has personal fields, so it shows whether the user was erased meanwhile.
    versions = {1, *setters.fields.values(), *setters.attributes.values()}
    found = {each.version: each for each in await events.events_of(user_id, versions)}
    if found[1].is_erased:
        raise UserGone("erased", state.version, state.updated_at)
    fields = {
        name: _blame(
            found[setters.fields[name]],
            _value(state, name),
            shown=opened or name not in PERSONAL,
        )
        for name in _FIELDS
    }
    attributes = None
    if opened:
        attributes = {
            key: _blame(found[setters.attributes[key]], value, shown=True)
            for key, value in _value(state, "attributes").items()
        }
    return UserBlame(
        id=user_id,
        version=state.version,
        **fields,
        attributes=attributes,
        personal="open" if opened else "sealed",
    )


def _value(state: UserAt, name: str) -> Any:
    value = getattr(state.user, name)
    if isinstance(value, Erased):
        raise UserGone("erased", state.version, state.updated_at)
    return value


def _blame(recorded: Recorded[Event], value: Any, *, shown: bool) -> Blame:
    return Blame(
        value=value if shown else None,
        since=timestamp(recorded.recorded_at),
        actor=recorded.actor,
        on_behalf_of=recorded.on_behalf_of,
        event_id=recorded.event_id,
        type=recorded.event.topic,
        version=recorded.version,
        position=recorded.position,
        correlation_id=recorded.correlation_id,
    )
