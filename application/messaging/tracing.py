"""Log lines by which an operator follows one event on its way to the bus; no line has a value of it."""

import asyncio
import logging
from collections.abc import Iterable
from math import inf
from typing import Final

from structlog import get_logger

from application.log.event_log import Unreadable
from application.log.sealed import Sealed
from domain.event import Event, Recorded

# A full queue refuses thousands of events a second; the table has them all.
_LINES: Final = 20
_SECONDS: Final = 10.0

log = get_logger(__name__)


def trace_relayed(events: Iterable[Recorded[Event]]) -> None:
    """A line for each event that the bus confirmed, at the level `debug` only."""
    if log.is_enabled_for(logging.DEBUG):
        for recorded in events:
            log.debug("event_relayed", **_place(recorded))


class Traces:
    """At most twenty lines in ten seconds; what was left out is counted in the next one."""

    def __init__(self) -> None:
        self._began = -inf
        self._lines = 0
        self._left_out = 0

    def set_aside(self, recorded: Recorded[Event], error: str) -> None:
        """A warning about an event that was not published; `error` contains no value."""
        if self._allows():
            log.warning("event_set_aside", error=error, **_place(recorded), **self._count())

    def replayed(self, recorded: Recorded[Event]) -> None:
        """A line about an event that had been set aside, and is published now."""
        if self._allows():
            log.info("event_replayed", **_place(recorded), **self._count())

    def _allows(self) -> bool:
        now = asyncio.get_running_loop().time()
        if now >= self._began + _SECONDS:
            self._began, self._lines = now, 0
        self._lines += 1
        if self._lines > _LINES:
            self._left_out += 1
        return self._lines <= _LINES

    def _count(self) -> dict[str, int]:
        left_out, self._left_out = self._left_out, 0
        return {"left_out": left_out} if left_out else {}


def _place(recorded: Recorded[Event]) -> dict[str, object]:
    event = recorded.event
    return {
        "event_id": str(recorded.event_id),
        "position": recorded.position,
        "type": event.type if isinstance(event, Sealed | Unreadable) else event.topic,
        "correlation_id": recorded.correlation_id,
    }
