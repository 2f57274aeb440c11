"""An example of each event of a webhook, under the name of its golden file."""

from typing import Final
from uuid import UUID

from domain.event import Event
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
    WebhookPaused,
    WebhookPersonalDataChanged,
    WebhookReplayed,
    WebhookResumed,
    WebhookSecretRotated,
    WebhookTypesChanged,
    WebhookUrlChanged,
    WebhookUserChanged,
)

REQUEST: Final = UUID("01890a5d-ac98-7000-8000-000000000001")
USER: Final = UUID("01890a5d-ac99-7000-8000-000000000001")

WEBHOOK_EXAMPLES: Final[dict[str, Event]] = {
    "webhook.created.v1": WebhookCreated(
        url="https://hooks.example.com/in/f4c1",
        types=("user.*",),
        user=USER,
        personal_data="open",
        description="Payroll",
        after=12,
    ),
    "webhook.url_changed.v1": WebhookUrlChanged(
        url="https://hooks.example.com/in/07ab",
        previous=PreviousUrl(url="https://hooks.example.com/in/f4c1"),
    ),
    "webhook.types_changed.v1": WebhookTypesChanged(
        types=("user.deleted", "user.registered"), previous=PreviousTypes(types=("user.*",))
    ),
    "webhook.user_changed.v1": WebhookUserChanged(user=None, previous=PreviousUser(user=USER)),
    "webhook.personal_data_changed.v1": WebhookPersonalDataChanged(
        personal_data="sealed", previous=PreviousPersonalData(personal_data="open")
    ),
    "webhook.description_changed.v1": WebhookDescriptionChanged(
        description=None, previous=PreviousDescription(description="Payroll")
    ),
    "webhook.secret_rotated.v1": WebhookSecretRotated(request=REQUEST),
    "webhook.paused.v1": WebhookPaused(reason="they move house"),
    "webhook.resumed.v1": WebhookResumed(previous=PreviousStatus(status="disabled")),
    "webhook.disabled.v1": WebhookDisabled(reason="no-success"),
    "webhook.replayed.v1": WebhookReplayed(after=3, until=9, request=REQUEST),
    "webhook.deleted.v1": WebhookDeleted(),
}
