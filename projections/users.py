"""The user directory: one row per user, typed, sortable and searchable."""

from datetime import datetime
from typing import Any, Final, Literal, TypeVar
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

from domain.email import comparable_address
from domain.event import Erased, Event, Recorded
from domain.user.events import (
    UserAttributesChanged,
    UserDeleted,
    UserEmailChanged,
    UserErased,
    UserExternalIdChanged,
    UserRegistered,
    UserReinstated,
    UserRenamed,
    UserRestored,
    UserRoleChanged,
    UserSuspended,
)
from domain.user.state import Status
from projections.folding import marked_words, sort_key
from projections.projection import Key, Projection, Words

T = TypeVar("T")

_SORT_KEYS: Final = ("name_key", "email_key", "created_at", "updated_at")


class UserView(Struct, frozen=True, kw_only=True):
    """A user as it is listed; the four personal fields are None once the user is erased."""

    id: UUID
    external_id: str | None
    name: str | None
    email: str | None
    role: str
    status: Status
    attributes: dict[str, Any] | None
    version: int
    created_at: datetime
    updated_at: datetime


class UserRow(UserView, frozen=True, kw_only=True):
    """A listed user, and the status that a deleted user gets back when restored."""

    before_deletion: Literal["active", "suspended"] = "active"


def evolve(row: UserRow | None, recorded: Recorded[Event]) -> UserRow:
    """The user after the event. Raises `ValueError` if the history has no beginning."""
    event = recorded.event
    if isinstance(event, UserRegistered):
        return _registered(event, recorded)
    row = replace(_begun(row), version=recorded.version, updated_at=recorded.recorded_at)
    match event:
        case UserRenamed():
            return replace(row, name=_open(event.name))
        case UserEmailChanged():
            return replace(row, email=_open(event.email))
        case UserExternalIdChanged():
            return replace(row, external_id=_open(event.external_id))
        case UserRoleChanged():
            return replace(row, role=event.role)
        case UserAttributesChanged():
            return replace(row, attributes=_with_changes(row.attributes, event))
        case UserSuspended():
            return replace(row, status="suspended")
        case UserReinstated():
            return replace(row, status="active")
        case UserDeleted():
            before = "suspended" if row.status == "suspended" else "active"
            return replace(row, status="deleted", before_deletion=before)
        case UserRestored():
            return replace(row, status=row.before_deletion)
        case UserErased():
            return replace(
                row,
                status="erased",
                name=None,
                email=None,
                external_id=None,
                attributes=None,
                before_deletion="active",
            )
        case _:
            raise TypeError(f"users knows no {type(event).__name__}")


def _registered(event: UserRegistered, recorded: Recorded[Event]) -> UserRow:
    return UserRow(
        id=recorded.stream,
        external_id=_open(event.external_id),
        name=_open(event.name),
        email=_open(event.email),
        role=event.role,
        status="active",
        attributes=_open(event.attributes),
        version=recorded.version,
        created_at=recorded.recorded_at,
        updated_at=recorded.recorded_at,
    )


def _begun(row: UserRow | None) -> UserRow:
    if row is None:
        raise ValueError("the history of a user begins with user.registered")
    return row


def _open(value: T | Erased) -> T | None:
    """None for an erased value."""
    return None if isinstance(value, Erased) else value


def _with_changes(
    attributes: dict[str, Any] | None, event: UserAttributesChanged
) -> dict[str, Any] | None:
    if attributes is None or isinstance(event.set, Erased) or isinstance(event.removed, Erased):
        return None
    kept = {key: value for key, value in attributes.items() if key not in event.removed}
    return {**kept, **event.set}


def _comparable_email(row: UserRow) -> str:
    return comparable_address(row.email) if row.email else ""


USERS: Final = Projection(
    name="users",
    kinds=frozenset({"user"}),
    view=UserRow,
    evolve=evolve,
    keys=(
        Key("name_key", lambda row: sort_key(row.name)),
        Key("email_key", lambda row: sort_key(row.email)),
        Key("email_comparable", _comparable_email),
    ),
    words=(Words("words", lambda row: marked_words((row.name, row.email))),),
    indexes=(
        *((*equal, key, "id") for equal in (("status",), ("role", "status")) for key in _SORT_KEYS),
        ("email_comparable",),
        ("external_id",),
    ),
)
