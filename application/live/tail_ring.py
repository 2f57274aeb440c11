"""The newest events of the log in memory, without gaps, bounded in events and bytes."""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from typing import Final
from uuid import UUID

import msgspec
from msgspec.structs import replace

from application.log.envelope import envelope
from domain.event import ERASED, Event, Recorded

_encode: Final = msgspec.json.Encoder().encode

# The bytes of an envelope besides its data.
_ENVELOPE_BYTES: Final = 640
# Copies in memory: the decoded event, and up to two encoded envelopes.
_COPIES: Final = 3


class TailEvent:
    """An event with its envelopes, each encoded once, at first use.

    `size` is about the bytes of an envelope.
    """

    __slots__ = ("_envelopes", "_log_id", "recorded", "size")

    def __init__(self, recorded: Recorded[Event], log_id: UUID) -> None:
        self.recorded = recorded
        self.size = len(_encode(recorded.event)) + _ENVELOPE_BYTES
        self._log_id = log_id
        self._envelopes: dict[bool, bytes] = {}

    def envelope(self, *, opened: bool) -> bytes:
        """The envelope as JSON; its personal fields are null unless `opened`."""
        encoded = self._envelopes.get(opened)
        if encoded is None:
            encoded = _encode(envelope(self.recorded, self._log_id, opened=opened))
            self._envelopes[opened] = encoded
        return encoded

    def erase(self) -> None:
        """Erase the personal fields, as in the log."""
        event = self.recorded.event
        if event.personal:
            erased = replace(event, **dict.fromkeys(event.personal, ERASED))
            self.recorded = replace(self.recorded, event=erased)
            self._envelopes.clear()


class Ring:
    """All events from `start` (exclusive) to `end` (inclusive), in order."""

    def __init__(self, start: int, *, max_events: int, max_bytes: int) -> None:
        self.start = start
        self.end = start
        self._max_events = max_events
        self._max_bytes = max_bytes
        self._bytes = 0
        self._positions: list[int] = []
        self._events: list[TailEvent] = []

    def extend(self, events: Iterable[TailEvent], end: int) -> None:
        """Add events, and drop the oldest; `end` is the last position read."""
        for event in events:
            self._positions.append(event.recorded.position)
            self._events.append(event)
            self._bytes += _COPIES * event.size
        self.end = end
        self._shrink()

    def after(self, position: int) -> Sequence[TailEvent]:
        """The events after a position that is not before `start`."""
        return self._events[bisect_right(self._positions, position) :]

    def erase(self, stream: UUID) -> None:
        """Erase the personal fields of all events of a person."""
        for event in self._events:
            if event.recorded.stream == stream:
                event.erase()

    def _shrink(self) -> None:
        surplus = max(len(self._events) - self._max_events, 0)
        self._bytes -= _COPIES * sum(event.size for event in self._events[:surplus])
        while self._bytes > self._max_bytes:
            self._bytes -= _COPIES * self._events[surplus].size
            surplus += 1
        if surplus:
            self.start = self._positions[surplus - 1]
            del self._positions[:surplus], self._events[:surplus]
