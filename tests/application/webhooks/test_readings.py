"""The metrics of webhooks name their ids and nothing of what they hold."""

from datetime import UTC, datetime
from typing import Literal
from uuid import UUID

from application.metrics.webhooks import webhook_readings
from application.webhooks.delivery_ports import DeliveryState
from application.webhooks.states import SecretVersion, WebhookAt
from domain.webhook.state import Webhook

NOW = datetime(2026, 1, 1, tzinfo=UTC)
WORKS, DOWN, PAUSED, NEW = (UUID(int=number) for number in range(1, 5))


def webhook(webhook_id: UUID, status: Literal["active", "paused"] = "active") -> WebhookAt:
    return WebhookAt(
        id=webhook_id,
        config=Webhook(
            url="https://example.org/secret",
            types=(),
            user=None,
            personal_data="sealed",
            description=None,
            status=status,
        ),
        version=1,
        position=1,
        after=1,
        created_at=NOW,
        created_by="token:t",
        updated_at=NOW,
        secret=SecretVersion(1),
    )


def state(
    *, position: int, parked: int = 0, next_attempt_at: datetime | None = None
) -> DeliveryState:
    return DeliveryState(
        position=position,
        delivered=7,
        failed=2,
        last_success_at=NOW,
        last_failure_at=None,
        failing_since=next_attempt_at,
        next_attempt_at=next_attempt_at,
        parked=parked,
    )


def test_each_webhook_has_its_counts_and_one_state() -> None:
    webhooks = {
        WORKS: webhook(WORKS),
        DOWN: webhook(DOWN),
        PAUSED: webhook(PAUSED, "paused"),
        NEW: webhook(NEW),
    }
    states = {
        WORKS: state(position=10, parked=3),
        DOWN: state(position=4, next_attempt_at=NOW),
        PAUSED: state(position=2, next_attempt_at=NOW),
        UUID(int=9): state(position=1),  # deleted a moment ago
    }
    found = {each.name: each.values for each in webhook_readings(webhooks, states, head=9)}
    deliveries = found["rollbook_webhook_deliveries_total"]
    assert deliveries[str(WORKS), "delivered"] == 7
    assert deliveries[str(WORKS), "failed"] == 2
    assert found["rollbook_webhook_lag"] == {(str(WORKS),): 0, (str(DOWN),): 5, (str(PAUSED),): 7}
    assert found["rollbook_webhook_parked"][str(WORKS),] == 3
    current = {labels for labels, value in found["rollbook_webhook_state"].items() if value == 1}
    assert current == {
        (str(WORKS), "active"),
        (str(DOWN), "failing"),
        (str(PAUSED), "paused"),
        (str(NEW), "active"),
    }
