"""Everything that can be asked of a user; a command holds parsed values only."""

from typing import Any, Literal
from uuid import UUID

from msgspec import UNSET, Struct, UnsetType, field

from domain.values import EmailAddress, ExternalId, PersonName, Role

EraseReason = Literal["subject-request", "retention", "error", "other"]


class RegisterUser(Struct, frozen=True, kw_only=True):
    user_id: UUID
    name: PersonName
    email: EmailAddress
    role: Role
    external_id: ExternalId | None = None
    attributes: dict[str, Any] = field(default_factory=dict[str, Any])


class ReplaceUser(Struct, frozen=True, kw_only=True):
    """All five fields become what is given."""

    name: PersonName
    email: EmailAddress
    role: Role
    external_id: ExternalId | None
    attributes: dict[str, Any]


class ChangeUser(Struct, frozen=True, kw_only=True):
    """A JSON merge patch (RFC 7396): what is UNSET stays; `attributes` is itself a merge patch."""

    name: PersonName | UnsetType = UNSET
    email: EmailAddress | UnsetType = UNSET
    role: Role | UnsetType = UNSET
    external_id: ExternalId | UnsetType | None = UNSET
    attributes: dict[str, Any] | UnsetType = UNSET


class SuspendUser(Struct, frozen=True):
    reason: str | None = None


class ReinstateUser(Struct, frozen=True):
    reason: str | None = None


class DeleteUser(Struct, frozen=True):
    reason: str | None = None


class RestoreUser(Struct, frozen=True):
    reason: str | None = None


class EraseUser(Struct, frozen=True):
    reason: EraseReason = "subject-request"


UserCommand = (
    RegisterUser
    | ReplaceUser
    | ChangeUser
    | SuspendUser
    | ReinstateUser
    | DeleteUser
    | RestoreUser
    | EraseUser
)
