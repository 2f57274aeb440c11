"""What each event of a webhook changed, for audit items."""

from collections.abc import Mapping
from typing import Any, assert_never

from domain.event import ERASED, changed_field
from domain.webhook.events import (
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


def webhook_changes(event: WebhookEvent) -> Mapping[str, tuple[Any, Any]]:
    """Each field before and after the event. A secret is in no event, so its rotation changes none.

    The status before a deletion is null: it is decided without reading the webhook.
    """
    match event:
        case WebhookCreated():
            fields = ("url", "types", "user", "personal_data", "description", "after")
            created = {name: (None, getattr(event, name)) for name in fields}
            return {**created, "status": (None, "active")}
        case (
            WebhookUrlChanged()
            | WebhookTypesChanged()
            | WebhookUserChanged()
            | WebhookPersonalDataChanged()
            | WebhookDescriptionChanged()
        ):
            name = changed_field(type(event))
            return {name: (getattr(event.previous, name, ERASED), getattr(event, name))}
        case WebhookPaused():
            return {"status": ("active", "paused")}
        case WebhookDisabled():
            return {"status": ("active", "disabled")}
        case WebhookResumed():
            return {"status": (event.previous.status, "active")}
        case WebhookReplayed():
            return {"after": (None, event.after), "until": (None, event.until)}
        case WebhookSecretRotated():
            return {}
        case WebhookDeleted():
            return {"status": (None, "deleted")}
        case _:
            assert_never(event)
