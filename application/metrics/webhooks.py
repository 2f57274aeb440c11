"""The metrics of webhooks: at most 100 of them, by id."""

from collections.abc import Mapping, Sequence
from typing import Final
from uuid import UUID

from application.metrics.telemetry import Reading
from application.webhooks.delivery_ports import DeliveryState
from application.webhooks.states import WebhookAt

_STATES: Final = ("active", "failing", "paused", "disabled")


def webhook_readings(
    webhooks: Mapping[UUID, WebhookAt], states: Mapping[UUID, DeliveryState], head: int
) -> Sequence[Reading]:
    """The deliveries and the state of each webhook; without those that no worker has begun with."""
    known = {webhook: state for webhook, state in states.items() if webhook in webhooks}

    def gauge(name: str, text: str, values: Mapping[UUID, float]) -> Reading:
        return Reading(
            name=f"rollbook_webhook_{name}",
            help=text,
            labels=("webhook",),
            values={(str(webhook),): value for webhook, value in values.items()},
        )

    return [
        Reading(
            name="rollbook_webhook_deliveries_total",
            help="Requests to the endpoint, by result.",
            kind="counter",
            labels=("webhook", "result"),
            values={
                (str(webhook), result): float(count)
                for webhook, state in known.items()
                for result, count in (("delivered", state.delivered), ("failed", state.failed))
            },
        ),
        gauge(
            "lag",
            "Positions between the last event that is done and the head of the log.",
            {webhook: max(head - state.position, 0) for webhook, state in known.items()},
        ),
        gauge(
            "parked",
            "Users whose deliveries wait; counted up to 10,000.",
            {webhook: state.parked for webhook, state in known.items()},
        ),
        Reading(
            name="rollbook_webhook_state",
            help="1 for the state a webhook is in.",
            labels=("webhook", "state"),
            values={
                (str(webhook), state): float(
                    _state_of(webhooks[webhook], known.get(webhook)) == state
                )
                for webhook in webhooks
                for state in _STATES
            },
        ),
    ]


def _state_of(webhook: WebhookAt, state: DeliveryState | None) -> str:
    status = webhook.config.status
    is_failing = status == "active" and state is not None and state.next_attempt_at is not None
    return "failing" if is_failing else status
