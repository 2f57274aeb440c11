"""The rules of a webhook: from a state and a command to the events that follow."""

from collections.abc import Iterator
from typing import TypeVar, assert_never

from msgspec import UNSET

from domain.errors import WebhookAlreadyExists, WebhookNotFound, WebhookUnreadable
from domain.event import Erased
from domain.webhook.commands import (
    ChangeWebhook,
    CreateWebhook,
    DeleteWebhook,
    DisableWebhook,
    PauseWebhook,
    ReplayWebhook,
    ResumeWebhook,
    RotateSecret,
    WebhookCommand,
)
from domain.webhook.events import (
    PreviousDescription,
    PreviousPersonalData,
    PreviousStatus,
    PreviousTypes,
    PreviousUrl,
    PreviousUser,
    WebhookCreated,
    WebhookDeleted,
    WebhookDescriptionChanged,
    WebhookDisabled,
    WebhookEvent,
    WebhookPaused,
    WebhookPersonalDataChanged,
    WebhookReplayed,
    WebhookResumed,
    WebhookSecretRotated,
    WebhookTypesChanged,
    WebhookUrlChanged,
    WebhookUserChanged,
)
from domain.webhook.state import Webhook

T = TypeVar("T")


def decide(webhook: Webhook | None, command: WebhookCommand) -> tuple[WebhookEvent, ...]:
    """The events that the command causes; none if it changes nothing.

    Raises `WebhookNotFound`, also if the webhook is deleted, `WebhookAlreadyExists` and
    `WebhookUnreadable`.
    """
    match command:
        case CreateWebhook():
            return _create(webhook, command)
        case ChangeWebhook():
            return tuple(_edit(_readable_webhook(webhook), command))
        case RotateSecret(request):
            rotates = _readable_webhook(webhook).rotated != request
            return (WebhookSecretRotated(request=request),) if rotates else ()
        case ReplayWebhook():
            replays = _readable_webhook(webhook).replayed != command.request
            return (_replayed(command),) if replays else ()
        case PauseWebhook(reason):
            pauses = _readable_webhook(webhook).status == "active"
            return (WebhookPaused(reason=reason),) if pauses else ()
        case ResumeWebhook():
            return _resume(_readable_webhook(webhook))
        case DisableWebhook(reason):
            disables = _living(webhook).status == "active"
            return (WebhookDisabled(reason=reason),) if disables else ()
        case DeleteWebhook():
            if webhook is None:
                raise WebhookNotFound
            return () if webhook.status == "deleted" else (WebhookDeleted(),)
        case _:
            assert_never(command)


def _living(webhook: Webhook | None) -> Webhook:
    if webhook is None or webhook.status == "deleted":
        raise WebhookNotFound
    return webhook


def _readable_webhook(webhook: Webhook | None) -> Webhook:
    living = _living(webhook)
    _readable(living.url)
    return living


def _create(webhook: Webhook | None, command: CreateWebhook) -> tuple[WebhookEvent, ...]:
    if webhook is not None:
        raise WebhookAlreadyExists
    return (
        WebhookCreated(
            url=command.url,
            types=command.types,
            user=command.user,
            personal_data=command.personal_data,
            description=command.description,
            after=command.after,
        ),
    )


def _edit(webhook: Webhook, command: ChangeWebhook) -> Iterator[WebhookEvent]:
    """One event for each changed field; a field that is UNSET stays."""
    url, description = _readable(webhook.url), _readable(webhook.description)
    if command.url is not UNSET and command.url != url:
        yield WebhookUrlChanged(url=command.url, previous=PreviousUrl(url))
    if command.types is not UNSET and command.types != webhook.types:
        yield WebhookTypesChanged(types=command.types, previous=PreviousTypes(webhook.types))
    if command.user is not UNSET and command.user != webhook.user:
        yield WebhookUserChanged(user=command.user, previous=PreviousUser(webhook.user))
    if command.personal_data is not UNSET and command.personal_data != webhook.personal_data:
        previous = PreviousPersonalData(webhook.personal_data)
        yield WebhookPersonalDataChanged(personal_data=command.personal_data, previous=previous)
    if command.description is not UNSET and command.description != description:
        before = PreviousDescription(description)
        yield WebhookDescriptionChanged(description=command.description, previous=before)


def _resume(webhook: Webhook) -> tuple[WebhookEvent, ...]:
    if webhook.status in ("paused", "disabled"):
        return (WebhookResumed(previous=PreviousStatus(webhook.status)),)
    return ()


def _replayed(command: ReplayWebhook) -> WebhookReplayed:
    return WebhookReplayed(after=command.after, until=command.until, request=command.request)


def _readable(value: T | Erased) -> T:
    """What a living webhook sealed. Raises `WebhookUnreadable` if its key is lost."""
    if isinstance(value, Erased):
        raise WebhookUnreadable
    return value
