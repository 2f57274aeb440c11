"""The user directory: one row per user, typed, sortable and searchable."""

from datetime import datetime
from typing import Any, Final, Literal, cast
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

from domain.email import comparable_address
from domain.event import ERASED, Event, Recorded
from domain.user.events import UserEvent
from domain.user.state import Status, changes
from projections.folding import marked_words, sort_key
from projections.projection import Key, Projection, Words

_SORT_KEYS: Final = ("name_key", "email_key", "created_at", "updated_at")


class UserView(Struct, frozen=True, kw_only=True):
    """A user as it is listed; the personal fields are None once the user is erased."""

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
    """The user after the event. Raises what `changes` raises."""
    changed = changes(row, cast("UserEvent", recorded.event))
    if ERASED in changed.values():
        changed = {name: None if value is ERASED else value for name, value in changed.items()}
    version, time = recorded.version, recorded.recorded_at
    if row is None:
        stream = recorded.stream
        return UserRow(id=stream, version=version, created_at=time, updated_at=time, **changed)
    return replace(row, version=version, updated_at=time, **changed)


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
    # 2: words by the boundaries of Unicode, and longer sort keys.
    revision=2,
)
