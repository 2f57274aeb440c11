"""A test delivery: one signed request to an endpoint now, outside the order of its deliveries."""

from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec

from application.log.envelope import Envelope
from application.timestamps import timestamp
from application.webhooks.delivery_ports import Answer, SignedBody, WebhookSender
from application.webhooks.ports import WebhookSecrets
from application.webhooks.states import WebhookAt
from domain.errors import WebhookUnreadable
from domain.event import Erased

TEST_TYPE: Final = "rollbook.test"
"""Is in no log: an endpoint that gets it has nothing to do but to answer with 2xx."""


async def send_test(
    webhook: WebhookAt,
    sender: WebhookSender,
    secrets: WebhookSecrets,
    *,
    message_id: UUID,
    log_id: UUID,
    head: int,
    actor: str,
    correlation_id: str,
    now: datetime,
) -> Answer:
    """What the endpoint answered, within 10 s. Raises `WebhookUnreadable` without a URL."""
    url = webhook.config.url
    if isinstance(url, Erased):
        raise WebhookUnreadable
    envelope = Envelope(
        specversion="1.0",
        id=message_id,
        source=f"urn:uuid:{log_id}",
        type=TEST_TYPE,
        subject=webhook.id,
        time=timestamp(now),
        datacontenttype="application/json",
        dataschema=f"urn:rollbook:{TEST_TYPE}:1",
        data={},
        position=str(head),
        version=webhook.version,
        actor=actor,
        correlationid=correlation_id,
        personal="open",
    )
    content = SignedBody(
        message_id=str(message_id),
        body=msgspec.json.encode(envelope),
        secrets=[secrets.webhook_secret(webhook.id, each.version) for each in webhook.secrets(now)],
    )
    async with sender.open(url) as endpoint:
        return await endpoint.send(content)
