"""A user at one version of its stream, folded from recorded events."""

from datetime import datetime
from typing import Final, cast
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

from application.errors import UserGone
from application.log.event_log import Unreadable
from application.log.sealed import Sealed
from application.users.setters import NO_SETTERS, Setters, setters_after
from domain.event import Event, Recorded
from domain.user.events import UserErased, UserEvent
from domain.user.state import ERASED_FIELDS, User, evolve


class UserAt(Struct, frozen=True, kw_only=True):
    """A user at one version; `position` is that of the version's event.

    `setters` has the versions that set its fields.
    """

    user_id: UUID
    user: User
    version: int
    position: int
    created_at: datetime
    updated_at: datetime
    setters: Setters = NO_SETTERS


class ErasedAt(Struct, frozen=True, kw_only=True):
    """An erased user: the version, position and time of the event that erased it."""

    user_id: UUID
    version: int
    position: int
    updated_at: datetime


UserState = UserAt | ErasedAt

# The rules only check the status of an erased user, and of one that is erased now.
_ERASED_USER: Final = User(role="", **ERASED_FIELDS)
_UNOPENED_USER: Final = replace(_ERASED_USER, status="active")


def after(state: UserState | None, recorded: Recorded[Event]) -> UserState:
    """The state after the next event; `state` is None before the first.

    `user.erased` determines the whole state, so the events before it may be left out.
    """
    event = cast(UserEvent, recorded.event)
    if isinstance(event, UserErased) or isinstance(state, ErasedAt):
        return _erased_at(recorded)
    return UserAt(
        user_id=recorded.stream,
        user=evolve(user_of(state), event),
        version=recorded.version,
        position=recorded.position,
        created_at=state.created_at if state is not None else recorded.recorded_at,
        updated_at=recorded.recorded_at,
        setters=setters_after(setters_of(state), event, recorded.version),
    )


def unopened(last: Recorded[Event]) -> UserState:
    """The state before an erasure, from the stream's last event, which may be unreadable."""
    event = last.event
    assert isinstance(event, Sealed | Unreadable), "it was loaded unopened"
    if event.type == UserErased.topic:
        return _erased_at(last)
    return UserAt(
        user_id=last.stream,
        user=_UNOPENED_USER,
        version=last.version,
        position=last.position,
        created_at=last.recorded_at,
        updated_at=last.recorded_at,
    )


def _erased_at(recorded: Recorded[Event]) -> ErasedAt:
    return ErasedAt(
        user_id=recorded.stream,
        version=recorded.version,
        position=recorded.position,
        updated_at=recorded.recorded_at,
    )


def user_of(state: UserState | None) -> User | None:
    """The state that the rules of a user check."""
    return _ERASED_USER if isinstance(state, ErasedAt) else state and state.user


def setters_of(state: UserState | None) -> Setters:
    """The setters of a state; none before the first event, or of an erased user."""
    return state.setters if isinstance(state, UserAt) else NO_SETTERS


def gone(state: UserState, *, erased: bool) -> UserGone:
    """The refusal for a user that is deleted or erased."""
    return UserGone("erased" if erased else "deleted", state.version, state.updated_at)
