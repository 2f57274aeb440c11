"""Folds one stream again and compares the result with the stored entry."""

from collections.abc import Mapping
from typing import Generic
from uuid import UUID

from application.projector.erased_entries import erases, without_person
from application.projector.fold import NOTHING, chained, contribution_of, entry_after
from application.projector.view_store import Entry, Slot
from application.verification.stored_views import StoredStream
from domain.event import Event, Recorded
from projections.projection import Projection, V


class Refold(Generic[V]):
    """A fresh fold of a stream; a parked stream is folded up to its first parked event."""

    def __init__(self, slot: Slot[V], stored: StoredStream[V]) -> None:
        self.slot = slot
        self.stored = stored
        self.entry: Entry[V] = NOTHING
        # Why an event that is not parked cannot be folded; contains no value.
        self.problem: str | None = None
        # The last version read, parked events included.
        self.reached = 0
        self._skipped = frozenset((stored.stream, version) for version in stored.skipped)
        self._is_erased = False
        self._is_person_removed = False
        self._has_erased_events = False

    @property
    def stream(self) -> UUID:
        return self.stored.stream

    @property
    def expected(self) -> Entry[V] | None:
        """The entry that should be stored; None if the stream has no events up to the checkpoint."""
        return self.entry if self.entry.version else None

    def take(self, recorded: Recorded[Event]) -> None:
        """Fold the stream's next event."""
        self.reached = recorded.version
        if erases(recorded):
            self._is_erased = True
        elif recorded.is_erased:
            self._has_erased_events = True
        if self.stored.parked is not None and recorded.version >= self.stored.parked:
            if erases(recorded):
                self.entry = without_person(self.slot.projection, self.entry, recorded)
                self._is_person_removed = True
            return
        folded = self.problem or entry_after(
            self.slot.projection, self.entry, recorded, self._skipped
        )
        if isinstance(folded, Entry):
            self.entry = folded
        else:
            self.problem = folded
            self.entry = Entry(None, recorded.version, chained(self.entry, recorded))

    @property
    def matches(self) -> bool:
        """Whether version, chain and all fields of the stored entry are as expected."""
        stored, expected = self.stored.entry, self.expected
        if stored is None or expected is None:
            return stored is expected
        # If the view without the person could not be stored, it was removed.
        return self._same_events(stored, expected) and (
            stored.view == expected.view or (self._is_person_removed and stored.view is None)
        )

    @property
    def may_be_erased_since(self) -> bool:
        """Whether the entry would match if the person was erased after the checkpoint.

        The view then still has values that the log no longer has.
        """
        stored, expected = self.stored.entry, self.expected
        open_since = self._has_erased_events and not self._is_erased
        return (
            open_since
            and stored is not None
            and expected is not None
            and self._same_events(stored, expected)
        )

    def _same_events(self, stored: Entry[V], expected: Entry[V]) -> bool:
        same_events = (stored.version, stored.chain) == (expected.version, expected.chain)
        return same_events and self.stored.columns_match and self.problem is None


def contribution_or_nothing(projection: Projection[V], entry: Entry[V] | None) -> Mapping[str, int]:
    """What an entry adds to the counters; nothing if `contribution` raises."""
    try:
        return contribution_of(projection, entry)
    except Exception:
        # The view was tampered with, or made by other code; the comparison must still run.
        return {}
