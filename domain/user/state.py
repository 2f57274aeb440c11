"""What a user is, folded from events by assignment alone."""

from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal, Protocol, assert_never

from msgspec import Struct
from msgspec.structs import asdict, replace

from domain.event import ERASED, Erased, changed_field, personal_fields
from domain.user.events import (
    StatusChanged,
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


class User(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`before_deletion` is the status that a deleted user gets back when restored.

    Snapshots omit defaults, so a field with a default does not change the stored ones.
    """

    name: str | Erased
    email: str | Erased
    role: str
    external_id: str | Erased | None
    attributes: dict[str, Any] | Erased
    status: Status
    before_deletion: Literal["active", "suspended"] = "active"


PERSONAL: Final = personal_fields(User)
_ERASED_STATUS: Final[Mapping[str, Status]] = {"status": "erased", "before_deletion": "active"}
ERASED_FIELDS: Final[Mapping[str, Any]] = {**dict.fromkeys(PERSONAL, ERASED), **_ERASED_STATUS}
"""The fields that an erasure sets."""


class WithStatus(Protocol):
    """What the status after an event depends on."""

    @property
    def status(self) -> Status: ...

    @property
    def before_deletion(self) -> Literal["active", "suspended"]: ...


class WithFields(WithStatus, Protocol):
    """What the fields after an event depend on; a view has None for what is erased."""

    @property
    def attributes(self) -> dict[str, Any] | Erased | None: ...


def fold(events: Iterable[UserEvent]) -> User | None:
    """The user after all events; None if there are none."""
    user = None
    for event in events:
        user = evolve(user, event)
    return user


def evolve(user: User | None, event: UserEvent) -> User:
    """The user after the event. Raises what `changes` raises."""
    changed = changes(user, event)
    return User(**changed) if user is None else replace(user, **changed)


def changes(before: WithFields | None, event: UserEvent) -> Mapping[str, Any]:
    """The fields that an event sets; never fails on a history that `decide` made.

    Raises `ValueError` if a history does not begin with `user.registered`.
    """
    if isinstance(event, UserRegistered):
        return {**asdict(event), "status": "active"}
    if before is None:
        raise ValueError("the history of a user begins with user.registered")
    match event:
        case UserRenamed() | UserEmailChanged() | UserExternalIdChanged() | UserRoleChanged():
            name = changed_field(type(event))
            return {name: getattr(event, name)}
        case UserAttributesChanged():
            return {"attributes": _with_changes(before.attributes, event)}
        case UserErased():
            return ERASED_FIELDS
        case _:
            return status_changes(before, event)


def status_changes(before: WithStatus, event: StatusChanged) -> Mapping[str, Status]:
    """As `changes`, for a record with only the status."""
    match event:
        case UserSuspended():
            return {"status": "suspended"}
        case UserReinstated():
            return {"status": "active"}
        case UserDeleted():
            suspended = before.status == "suspended"
            return {"status": "deleted", "before_deletion": "suspended" if suspended else "active"}
        case UserRestored():
            return {"status": before.before_deletion}
        case UserErased():
            return _ERASED_STATUS
        case _:
            assert_never(event)


def _with_changes(
    attributes: dict[str, Any] | Erased | None, event: UserAttributesChanged
) -> dict[str, Any] | Erased:
    """Erased attributes stay erased: a change alone does not contain the earlier ones."""
    if not isinstance(attributes, dict) or event.set is ERASED or event.removed is ERASED:
        return ERASED
    kept = {key: value for key, value in attributes.items() if key not in event.removed}
    return {**kept, **event.set}
