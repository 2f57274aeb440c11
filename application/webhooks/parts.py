"""All that an interface calls to manage webhooks."""

from msgspec import Struct

from application.webhooks.delivery_ports import (
    DeliveryRecords,
    ParkedUsers,
    TargetCheck,
    WebhookSender,
)
from application.webhooks.ports import WebhookSecrets
from application.webhooks.service import WebhookService


class Webhooks(Struct, frozen=True, kw_only=True):
    commands: WebhookService
    secrets: WebhookSecrets
    targets: TargetCheck
    sender: WebhookSender
    records: DeliveryRecords
    parked: ParkedUsers
