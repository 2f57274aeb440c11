"""What of the relay's state needs a person: it stands still, is far behind, or set events aside."""

from typing import Final

from application.errors import Degraded, NotRunning
from application.messaging.rejected import RelayStatus

MAX_LAG_SECONDS: Final = 30.0
"""An older event that was not published yet is more than a busy moment."""

STOPPED: Final = "No relay publishes events: RabbitMQ gets none."
BEHIND: Final = f"The relay is more than {MAX_LAG_SECONDS:.0f} s behind: consumers get events late."
SET_ASIDE: Final = (
    "Events were set aside, because a queue refused them: see `rollbook relay status`."
)


def is_behind(status: RelayStatus, *, was_behind: bool = False) -> bool:
    """Whether the oldest event that was not published is older than `MAX_LAG_SECONDS`.

    A relay that was behind is so until it has caught up, else it would change at every page.
    """
    return status.lag_seconds > MAX_LAG_SECONDS or (was_behind and status.state != "live")


def check_relay(status: RelayStatus) -> None:
    """Raises `NotRunning` if no relay leads, and `Degraded` if it needs an operator.

    The messages hold no number: one that changes at each look would count as a new state.
    """
    if status.state == "stopped":
        raise NotRunning(STOPPED)
    found = [
        text for text, is_so in ((BEHIND, is_behind(status)), (SET_ASIDE, status.rejected)) if is_so
    ]
    if found:
        raise Degraded(" ".join(found))
