"""A user as of one version of the stream, folded from recorded events."""

from datetime import datetime
from typing import Final, cast
from uuid import UUID

from msgspec import Struct

from application.errors import UserGone
from domain.event import ERASED, Event, Recorded
from domain.user.events import UserErased, UserEvent
from domain.user.state import User, evolve


class UserAt(Struct, frozen=True, kw_only=True):
    """A user as of one version; `position` is that of the version's event."""

    user_id: UUID
    user: User
    version: int
    position: int
    created_at: datetime
    updated_at: datetime


class ErasedAt(Struct, frozen=True, kw_only=True):
    """What is known of an erased user: which event it was that erased the person."""

    user_id: UUID
    version: int
    position: int
    updated_at: datetime


UserState = UserAt | ErasedAt

# The rules ask an erased user's status alone, and nothing else is known of one.
_ERASED_USER: Final = User(
    name=ERASED, email=ERASED, role="", external_id=ERASED, attributes=ERASED, status="erased"
)


def after(state: UserState | None, recorded: Recorded[Event]) -> UserState:
    """The state after the event that follows it (None: none came before).

    The event that erases a user tells all there is to know: those before it may be left out.
    """
    event = cast(UserEvent, recorded.event)
    if isinstance(event, UserErased) or isinstance(state, ErasedAt):
        return ErasedAt(
            user_id=recorded.stream,
            version=recorded.version,
            position=recorded.position,
            updated_at=recorded.recorded_at,
        )
    return UserAt(
        user_id=recorded.stream,
        user=evolve(user_of(state), event),
        version=recorded.version,
        position=recorded.position,
        created_at=state.created_at if state is not None else recorded.recorded_at,
        updated_at=recorded.recorded_at,
    )


def user_of(state: UserState | None) -> User | None:
    """What the rules of a user judge by."""
    return _ERASED_USER if isinstance(state, ErasedAt) else state and state.user


def gone(state: UserState, *, erased: bool) -> UserGone:
    """The refusal for a user that is deleted or erased."""
    return UserGone("erased" if erased else "deleted", state.version, state.updated_at)
