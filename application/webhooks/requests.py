"""Turns an event into a signed request of one webhook, and sends it."""

from collections.abc import Callable
from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec
from msgspec import Struct
from structlog import get_logger

from application.doorbell import Doorbell
from application.live.notifications import Notifier
from application.log.envelope import envelope
from application.log.search import SearchableFeed
from application.webhooks.delivery_ports import Answer, Endpoint, SignedBody
from application.webhooks.ports import WebhookSecrets
from application.webhooks.reading import Pace
from application.webhooks.states import WebhookAt
from domain.event import Event, Recorded

_encode: Final = msgspec.json.Encoder().encode

log = get_logger(__name__)


class DeliveryTools(Struct, frozen=True, kw_only=True):
    """What the deliveries of all webhooks of a process share.

    `chance` returns a number from 0 to 1.
    """

    feed: SearchableFeed
    doorbell: Doorbell
    secrets: WebhookSecrets
    notifier: Notifier
    log_id: UUID
    pace: Pace
    clock: Callable[[], datetime]
    chance: Callable[[], float]


class Requests:
    """The requests of one webhook at one version."""

    def __init__(self, webhook: WebhookAt, endpoint: Endpoint, tools: DeliveryTools) -> None:
        self._webhook = webhook
        self._endpoint = endpoint
        self._tools = tools
        self._secrets: dict[int, str] = {}

    async def send(self, recorded: Recorded[Event]) -> Answer:
        """Send the event as it can be read now; a failure is logged without any of its values."""
        is_open = self._webhook.config.personal_data == "open"
        answer = await self._endpoint.send(
            SignedBody(
                message_id=str(recorded.event_id),
                body=_encode(envelope(recorded, self._tools.log_id, opened=is_open)),
                secrets=[
                    self._secret(secret.version)
                    for secret in self._webhook.secrets(self._tools.clock())
                ],
            )
        )
        if not answer.is_success:
            log.warning(
                "webhook_delivery_failed",
                webhook=str(self._webhook.id),
                event_id=str(recorded.event_id),
                position=recorded.position,
                correlation_id=recorded.correlation_id,
                error=code_of(answer),
            )
        return answer

    def _secret(self, version: int) -> str:
        secret = self._secrets.get(version)
        if secret is None:
            secret = self._tools.secrets.webhook_secret(self._webhook.id, version)
            self._secrets[version] = secret
        return secret


def code_of(answer: Answer) -> str:
    """Why a delivery failed: a `SendError`, or the status as `http-500`."""
    return answer.error or f"http-{answer.status}"
