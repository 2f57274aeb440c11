"""Everything that can be asked of a webhook; a command holds checked values only."""

from uuid import UUID

from msgspec import UNSET, Struct, UnsetType

from domain.webhook.events import DisabledReason, PersonalAccess


class CreateWebhook(Struct, frozen=True, kw_only=True):
    """`user` None: events of all users. `after` None: events recorded after the webhook."""

    url: str
    types: tuple[str, ...]
    user: UUID | None = None
    personal_data: PersonalAccess = "sealed"
    description: str | None = None
    after: int | None = None


class ChangeWebhook(Struct, frozen=True, kw_only=True):
    """A JSON merge patch (RFC 7396): what is UNSET stays."""

    url: str | UnsetType = UNSET
    types: tuple[str, ...] | UnsetType = UNSET
    user: UUID | UnsetType | None = UNSET
    personal_data: PersonalAccess | UnsetType = UNSET
    description: str | UnsetType | None = UNSET


class RotateSecret(Struct, frozen=True):
    request: UUID


class PauseWebhook(Struct, frozen=True):
    reason: str | None = None


class ResumeWebhook(Struct, frozen=True):
    """Ends a pause, and enables a disabled webhook again."""


class DisableWebhook(Struct, frozen=True):
    reason: DisabledReason


class ReplayWebhook(Struct, frozen=True, kw_only=True):
    """Deliver again what comes after `after`, up to `until`, inclusive (None: up to the head)."""

    after: int
    until: int | None = None
    request: UUID


class DeleteWebhook(Struct, frozen=True):
    pass


WebhookCommand = (
    CreateWebhook
    | ChangeWebhook
    | RotateSecret
    | PauseWebhook
    | ResumeWebhook
    | DisableWebhook
    | ReplayWebhook
    | DeleteWebhook
)
