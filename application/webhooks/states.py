"""A webhook at one version of its stream, folded from recorded events."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final, cast
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

from domain.event import Event, Recorded
from domain.webhook.events import (
    PersonalAccess,
    WebhookCreated,
    WebhookEvent,
    WebhookPersonalDataChanged,
    WebhookReplayed,
    WebhookSecretRotated,
)
from domain.webhook.state import Webhook, evolve

FORMER_SECRET_SIGNS: Final = timedelta(hours=24)
"""For so long after a rotation the former secret also signs."""


class SecretVersion(Struct, frozen=True):
    """A secret follows from the webhook's id and this version; see `WebhookSecrets`.

    `expires_at` None: it is the current one.
    """

    version: int
    expires_at: datetime | None = None


class OpenedBy(Struct, frozen=True):
    """The actor that let the endpoint get personal data, and when."""

    actor: str
    at: datetime


class Replay(Struct, frozen=True):
    """The last request to deliver again: see `WebhookReplayed`.

    `version` tells one replay from the next: each is carried out once.
    """

    version: int
    after: int
    until: int | None


class WebhookAt(Struct, frozen=True, kw_only=True):
    """A webhook at one version; `position` is that of the version's event.

    `config` has what the endpoint gets: URL, types, user, personal. `after` is the position after
    which the first deliveries begin. `opened_by` is None while personal data is sealed.
    """

    id: UUID
    config: Webhook
    version: int
    position: int
    after: int
    created_at: datetime
    created_by: str
    updated_at: datetime
    secret: SecretVersion
    former_secret: SecretVersion | None = None
    opened_by: OpenedBy | None = None
    replay: Replay | None = None

    def secrets(self, now: datetime) -> list[SecretVersion]:
        """The secrets that sign at a time, the current one first: one or two.

        A second rotation within 24 h ends the first secret at once.
        """
        former = self.former_secret
        if former is None or former.expires_at is None or former.expires_at <= now:
            return [self.secret]
        return [self.secret, former]


def folded(events: Iterable[Recorded[Event]], begin: WebhookAt | None = None) -> WebhookAt | None:
    """The webhook after these events of its stream; `begin` is the state before them."""
    state = begin
    for recorded in events:
        state = after(state, recorded)
    return state


def after(state: WebhookAt | None, recorded: Recorded[Event]) -> WebhookAt:
    """The state after the next event; `state` is None before the first."""
    event = cast("WebhookEvent", recorded.event)
    config = evolve(state and state.config, event)
    if state is None:
        created = cast("WebhookCreated", event)
        return WebhookAt(
            id=recorded.stream,
            config=config,
            version=recorded.version,
            position=recorded.position,
            after=recorded.position if created.after is None else created.after,
            created_at=recorded.recorded_at,
            created_by=recorded.actor,
            updated_at=recorded.recorded_at,
            secret=SecretVersion(recorded.version),
            opened_by=_opened_by(created.personal_data, recorded),
        )
    state = replace(
        state,
        config=config,
        version=recorded.version,
        position=recorded.position,
        updated_at=recorded.recorded_at,
    )
    match event:
        case WebhookSecretRotated():
            expires_at = recorded.recorded_at + FORMER_SECRET_SIGNS
            return replace(
                state,
                secret=SecretVersion(recorded.version),
                former_secret=SecretVersion(state.secret.version, expires_at),
            )
        case WebhookPersonalDataChanged():
            return replace(state, opened_by=_opened_by(event.personal_data, recorded))
        case WebhookReplayed():
            return replace(state, replay=Replay(recorded.version, event.after, event.until))
        case _:
            return state


def _opened_by(personal_data: PersonalAccess, recorded: Recorded[Event]) -> OpenedBy | None:
    return OpenedBy(recorded.actor, recorded.recorded_at) if personal_data == "open" else None
