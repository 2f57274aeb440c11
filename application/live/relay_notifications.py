"""Notifications about the relay: it falls behind, sets events aside, and is well again."""

import asyncio
from collections.abc import Sequence
from typing import Final, NoReturn, Protocol

from msgspec import Struct

from application.live.notifications import Severity
from application.retry import BackOff

_POLL_SECONDS: Final = 5.0

ABOUT: Final = "/v1/relay"
ABOUT_REJECTED: Final = "/v1/relay/rejected"


class RelayState(Struct, frozen=True):
    """How many events are set aside, and whether the relay is behind for longer than is normal."""

    rejected: int = 0
    is_behind: bool = False


class RelayNotice(Struct, frozen=True):
    severity: Severity
    message: str
    about: str


class RelayWatch(Protocol):
    async def notify_relay(self) -> None:
        """Send the notices about what changed since the last ones, from one process only.

        Raises `Unavailable`.
        """
        ...


def relay_notices(known: RelayState, now: RelayState) -> Sequence[RelayNotice]:
    """The notices to send when `known` is what people were told last.

    A queue that refuses all events raises the count for hours, so people hear of the first event,
    and then of ten times as many as they know.
    """
    notices: list[RelayNotice] = []
    if now.is_behind and not known.is_behind:
        notices.append(RelayNotice("warning", "relay: events reach RabbitMQ late", ABOUT))
    elif known.is_behind and not now.is_behind:
        notices.append(RelayNotice("success", "relay: events reach RabbitMQ in time again", ABOUT))
    if now.rejected == 0 and known.rejected > 0:
        message = "relay: no event is set aside any more"
        notices.append(RelayNotice("success", message, ABOUT_REJECTED))
    elif now.rejected > 0 and _digits(now.rejected) > _digits(known.rejected):
        notices.append(RelayNotice("warning", _set_aside(now.rejected), ABOUT_REJECTED))
    return notices


async def run_relay_notifications(watch: RelayWatch) -> NoReturn:
    """Send notifications about the relay; cancel it to stop."""
    back_off = BackOff("relay watch")
    while True:
        try:
            await watch.notify_relay()
        except Exception as error:
            await back_off.wait(error)
        else:
            back_off.reset()
            await asyncio.sleep(_POLL_SECONDS)


def _digits(number: int) -> int:
    return len(str(number)) if number else 0


def _set_aside(number: int) -> str:
    return f"relay: {number:,} {'event was' if number == 1 else 'events were'} set aside"
