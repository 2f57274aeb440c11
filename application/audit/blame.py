"""Blame: for each field of a user, the event that set its current value."""

from collections.abc import Collection, Mapping
from typing import Any, Final, Literal
from uuid import UUID

from msgspec import Struct, defstruct

from application.audit.search import EventLookup
from application.errors import UserGone
from application.timestamps import Timestamp, timestamp
from application.users.service import UserService
from application.users.states import UserAt
from domain.event import Erased, Event, Recorded
from domain.user.events import (
    STATUS_CHANGES,
    USER_EVENTS,
    UserAttributesChanged,
    UserRegistered,
)
from domain.user.state import PERSONAL

_PAGE: Final = 500
# The events that set each field; each attribute has its own.
_SETTERS: Final[Mapping[str, Collection[str]]] = {
    **{
        name: [event.topic for event in USER_EVENTS if name in event.__struct_fields__]
        for name in UserRegistered.__struct_fields__
        if name != "attributes"
    },
    "status": [event.topic for event in (UserRegistered, *STATUS_CHANGES)],
}


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
        *((name, Blame) for name in _SETTERS),
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
    last = {
        each.event.topic: each for each in await events.last_of_each_type(user_id, state.version)
    }
    if UserRegistered.topic not in last or last[UserRegistered.topic].is_erased:
        # Erased since the state was read.
        raise UserGone("erased", state.version, state.updated_at)
    fields = {
        name: _blame(
            max((last[topic] for topic in topics if topic in last), key=lambda each: each.version),
            _value(state, name),
            shown=opened or name not in PERSONAL,
        )
        for name, topics in _SETTERS.items()
    }
    attributes = None
    if opened:
        setters = await _attribute_setters(events, state, last[UserRegistered.topic])
        values = _attributes(state)
        attributes = {key: _blame(setters[key], values[key], shown=True) for key in values}
    return UserBlame(
        id=user_id,
        version=state.version,
        **fields,
        attributes=attributes,
        personal="open" if opened else "sealed",
    )


async def _attribute_setters(
    events: EventLookup, state: UserAt, registered: Recorded[Event]
) -> Mapping[str, Recorded[Event]]:
    """The newest event that set each current attribute."""
    wanted = set(_attributes(state))
    found: dict[str, Recorded[Event]] = {}
    below = state.version + 1
    while wanted and below > registered.version:
        page = await events.of_type(state.user_id, UserAttributesChanged.topic, below, _PAGE)
        for recorded in page:
            assert isinstance(recorded.event, UserAttributesChanged), "asked for by its type"
            if isinstance(recorded.event.set, Erased):
                raise UserGone("erased", state.version, state.updated_at)
            for key in wanted & recorded.event.set.keys():
                found[key] = recorded
                wanted.remove(key)
        below = page[-1].version if len(page) == _PAGE else registered.version
    return {**dict.fromkeys(wanted, registered), **found}


def _value(state: UserAt, name: str) -> Any:
    value = getattr(state.user, name)
    if isinstance(value, Erased):
        raise UserGone("erased", state.version, state.updated_at)
    return value


def _attributes(state: UserAt) -> dict[str, Any]:
    return _value(state, "attributes")


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
