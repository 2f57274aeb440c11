"""Everything that can happen to a user; the topics and fields are stored for good."""

from collections.abc import Mapping
from typing import Any, ClassVar, Final, get_args

from msgspec import Struct, field

from domain.event import Erased, Event, Upcaster

Attributes = dict[str, Any]


def _with_attributes(data: dict[str, Any]) -> dict[str, Any]:
    """Version 1 had no attributes."""
    return {"attributes": {}, **data}


class UserRegistered(Event, frozen=True):
    topic: ClassVar[str] = "user.registered"
    schema_version: ClassVar[int] = 2
    upcasters: ClassVar[Mapping[int, Upcaster]] = {1: _with_attributes}

    name: str | Erased
    email: str | Erased
    role: str
    external_id: str | Erased | None = None
    attributes: Attributes | Erased = field(default_factory=dict[str, Any])


class PreviousName(Struct, frozen=True):
    name: str


class UserRenamed(Event, frozen=True):
    topic: ClassVar[str] = "user.renamed"

    name: str | Erased
    previous: PreviousName | Erased


class PreviousEmail(Struct, frozen=True):
    email: str


class UserEmailChanged(Event, frozen=True):
    topic: ClassVar[str] = "user.email_changed"

    email: str | Erased
    previous: PreviousEmail | Erased


class PreviousExternalId(Struct, frozen=True):
    external_id: str | None


class UserExternalIdChanged(Event, frozen=True):
    topic: ClassVar[str] = "user.external_id_changed"

    external_id: str | Erased | None
    previous: PreviousExternalId | Erased


class PreviousRole(Struct, frozen=True):
    role: str


class UserRoleChanged(Event, frozen=True):
    topic: ClassVar[str] = "user.role_changed"

    role: str
    previous: PreviousRole


class UserAttributesChanged(Event, frozen=True):
    """`set` has the attributes that are new or changed, `removed` the removed keys.

    `previous` has the earlier value of each of these keys that had one.
    """

    topic: ClassVar[str] = "user.attributes_changed"

    set: Attributes | Erased
    removed: tuple[str, ...] | Erased
    previous: Attributes | Erased


class UserSuspended(Event, frozen=True):
    topic: ClassVar[str] = "user.suspended"

    reason: str | Erased | None = None


class UserReinstated(Event, frozen=True):
    topic: ClassVar[str] = "user.reinstated"

    reason: str | Erased | None = None


class UserDeleted(Event, frozen=True):
    topic: ClassVar[str] = "user.deleted"

    reason: str | Erased | None = None


class UserRestored(Event, frozen=True):
    topic: ClassVar[str] = "user.restored"

    reason: str | Erased | None = None


class UserErased(Event, frozen=True):
    """The same transaction deletes the person's data key; `reason` is a code, not personal."""

    topic: ClassVar[str] = "user.erased"
    is_terminal: ClassVar[bool] = True

    reason: str = "subject-request"


FieldChanged = UserRenamed | UserEmailChanged | UserExternalIdChanged | UserRoleChanged
"""Sets one field: the event has the new value under the field's name, then `previous`."""

StatusChanged = UserSuspended | UserReinstated | UserDeleted | UserRestored | UserErased

UserEvent = UserRegistered | FieldChanged | UserAttributesChanged | StatusChanged

USER_EVENTS: Final[tuple[type[UserEvent], ...]] = get_args(UserEvent)
STATUS_CHANGES: Final[tuple[type[StatusChanged], ...]] = get_args(StatusChanged)
