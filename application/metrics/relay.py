"""The metrics of the relay, of which one process leads: each API shows the same."""

from collections.abc import Sequence
from typing import Final

from application.messaging.rejected import RelayStatus
from application.metrics.telemetry import Reading

_STATES: Final = ("live", "catching-up", "stopped")
_TEXTS: Final = {
    "position": "The position up to which events were passed on to the broker.",
    "lag": "Positions between the relay and the head of the log.",
    "lag_seconds": "Age of the oldest event that was not published, in seconds.",
    "rejected": "Events that the broker refused and that were set aside; counted up to 10,000.",
}


def relay_readings(status: RelayStatus) -> Sequence[Reading]:
    """How far the relay is, what the broker refused, and its state."""
    readings = [
        Reading(name=f"rollbook_relay_{field}", help=text, values={(): getattr(status, field)})
        for field, text in _TEXTS.items()
    ]
    state = Reading(
        name="rollbook_relay_state",
        help="1 for the state that the relay is in.",
        labels=("state",),
        values={(each,): float(status.state == each) for each in _STATES},
    )
    return [*readings, state]
