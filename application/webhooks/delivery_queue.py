"""The events of a webhook that were read and not yet delivered: in order for each user.

Pure, and the one place that knows up to which position nothing is missing.
"""

from collections import deque
from collections.abc import Collection, Sequence
from uuid import UUID

from application.log.event_log import FeedPage
from domain.event import Event, Recorded


class DeliveryQueue:
    """One delivery per user is in flight; all events of a parked user are left out.

    `read_to` is the position up to which all events were read. Each of them was delivered, waits
    here, is in flight, or belongs to a parked user.
    """

    def __init__(self, position: int, parked: Collection[UUID]) -> None:
        self.read_to = position
        self.parked = set(parked)
        self._waiting: dict[UUID, deque[Recorded[Event]]] = {}
        # The users with events that wait, in the order in which they get their turn.
        self._ready: dict[UUID, None] = {}
        self._in_flight: dict[UUID, Recorded[Event]] = {}
        # The events that are not delivered, in order, each with the position before it: a
        # checkpoint must be a position of the log, which `position - 1` may not be.
        self._open: dict[int, int] = {}
        self._delivered_ahead: set[int] = set()

    @property
    def checkpoint(self) -> int:
        """The position up to which every event was delivered or belongs to a parked user."""
        return next(iter(self._open.values()), self.read_to)

    @property
    def waiting(self) -> int:
        """The events that wait for their delivery to begin."""
        return len(self._open) - len(self._in_flight)

    @property
    def in_flight(self) -> int:
        return len(self._in_flight)

    @property
    def ready(self) -> Sequence[UUID]:
        """The users whose next event may be sent now."""
        return list(self._ready)

    def add(self, events: Sequence[Recorded[Event]], reached: int) -> None:
        """Add the events after `read_to`, up to `reached`."""
        checkpoint = self.checkpoint
        self._delivered_ahead = {each for each in self._delivered_ahead if each > checkpoint}
        before = self.read_to
        for recorded in events:
            user = recorded.stream
            if user not in self.parked and recorded.position not in self._delivered_ahead:
                self._open[recorded.position] = before
                self._waiting.setdefault(user, deque()).append(recorded)
                if user not in self._in_flight:
                    self._ready.setdefault(user)
            before = recorded.position
        self.read_to = reached

    def next(self, user: UUID | None = None) -> Recorded[Event] | None:
        """The event to send next, of a ready user if given; it is in flight then."""
        if user is None:
            user = next(iter(self._ready), None)
            if user is None:
                return None
        del self._ready[user]
        recorded = self._in_flight[user] = self._waiting[user].popleft()
        return recorded

    def delivered(self, recorded: Recorded[Event]) -> None:
        """The event in flight was accepted."""
        self._landed(recorded)
        del self._open[recorded.position]
        self.note_delivered(recorded.position)
        self._make_ready(recorded.stream)

    def note_delivered(self, position: int) -> None:
        """The event was delivered, in order for its user; it is not sent again after `clear`."""
        if position > self.checkpoint:
            self._delivered_ahead.add(position)

    def failed(self, recorded: Recorded[Event]) -> None:
        """The event in flight was not accepted and waits again, before the user's later events."""
        self._landed(recorded)
        self._waiting.setdefault(recorded.stream, deque()).appendleft(recorded)
        self._make_ready(recorded.stream)

    def park(self, recorded: Recorded[Event]) -> None:
        """Leave out the user of an event in flight: this event and all later ones."""
        self._landed(recorded)
        user = recorded.stream
        del self._open[recorded.position]
        for later in self._waiting.pop(user, ()):
            del self._open[later.position]
        self._ready.pop(user, None)
        self.parked.add(user)

    def unpark(self, user: UUID) -> None:
        """All events of the user up to `read_to` were delivered; later ones are added again."""
        self.parked.discard(user)

    def skip_to(self, position: int) -> None:
        """Go on reading after a later position."""
        self.read_to = max(self.read_to, position)

    def clear(self) -> None:
        """Forget what waits, so that it is read again; nothing is in flight."""
        assert not self._in_flight, "an event in flight has its place in the queue"
        self.read_to = self.checkpoint
        self._waiting.clear()
        self._ready.clear()
        self._open.clear()

    def _landed(self, recorded: Recorded[Event]) -> None:
        landed = self._in_flight.pop(recorded.stream)
        assert landed is recorded, "one delivery per user"

    def _make_ready(self, user: UUID) -> None:
        if self._waiting.get(user):
            self._ready[user] = None
        else:
            self._waiting.pop(user, None)


def up_to(page: FeedPage, until: int) -> Sequence[Recorded[Event]]:
    """The events of a page with a position up to a limit."""
    return [recorded for recorded in page.events if recorded.position <= until]
