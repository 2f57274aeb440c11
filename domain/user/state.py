"""What a user is, folded from events by assignment alone."""

from collections.abc import Iterable
from typing import Any, Literal, assert_never

from msgspec import Struct
from msgspec.structs import replace

from domain.event import ERASED, Erased
from domain.user.events import (
    UserAttributesChanged,
    UserDeleted,
    UserEmailChanged,
    UserErased,
    UserEvent,
    UserExternalIdChanged,
    UserRegistered,
    UserReinstated,
    UserRenamed,
    UserRestored,
    UserRoleChanged,
    UserSuspended,
)

Status = Literal["active", "suspended", "deleted", "erased"]


class User(Struct, frozen=True, kw_only=True):
    """`before_deletion` is the status that a deleted user gets back when restored."""

    name: str | Erased
    email: str | Erased
    role: str
    external_id: str | Erased | None
    attributes: dict[str, Any] | Erased
    status: Status
    before_deletion: Literal["active", "suspended"] = "active"


def fold(events: Iterable[UserEvent]) -> User | None:
    """The user after all events; None if there are none."""
    user = None
    for event in events:
        user = evolve(user, event)
    return user


def evolve(user: User | None, event: UserEvent) -> User:
    """The user after the event; never fails on a history that `decide` made.

    Raises `ValueError` if a history does not begin with `user.registered`.
    """
    if isinstance(event, UserRegistered):
        return User(
            name=event.name,
            email=event.email,
            role=event.role,
            external_id=event.external_id,
            attributes=event.attributes,
            status="active",
        )
    user = _begun(user)
    match event:
        case UserRenamed():
            return replace(user, name=event.name)
        case UserEmailChanged():
            return replace(user, email=event.email)
        case UserExternalIdChanged():
            return replace(user, external_id=event.external_id)
        case UserRoleChanged():
            return replace(user, role=event.role)
        case UserAttributesChanged():
            return replace(user, attributes=_with_changes(user.attributes, event))
        case UserSuspended():
            return replace(user, status="suspended")
        case UserReinstated():
            return replace(user, status="active")
        case UserDeleted():
            before = "suspended" if user.status == "suspended" else "active"
            return replace(user, status="deleted", before_deletion=before)
        case UserRestored():
            return replace(user, status=user.before_deletion)
        case UserErased():
            return replace(
                user,
                name=ERASED,
                email=ERASED,
                external_id=ERASED,
                attributes=ERASED,
                status="erased",
            )
        case _:
            assert_never(event)


def _begun(user: User | None) -> User:
    if user is None:
        raise ValueError("the history of a user begins with user.registered")
    return user


def _with_changes(
    attributes: dict[str, Any] | Erased, event: UserAttributesChanged
) -> dict[str, Any] | Erased:
    """Erased attributes stay erased: a change alone does not contain the earlier ones."""
    if attributes is ERASED or event.set is ERASED or event.removed is ERASED:
        return ERASED
    kept = {key: value for key, value in attributes.items() if key not in event.removed}
    return {**kept, **event.set}
