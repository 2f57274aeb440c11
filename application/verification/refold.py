"""One stream folded anew beside what is kept of it, and whether the two are the same."""

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
    """What the log makes of a stream; a parked one is folded up to its first parked event."""

    def __init__(self, slot: Slot[V], kept: StoredStream[V]) -> None:
        self.slot = slot
        self.kept = kept
        self.entry: Entry[V] = NOTHING
        # Why an event that is not parked cannot be folded; it names no value.
        self.problem: str | None = None
        # The last version that was read, parked ones included.
        self.reached = 0
        self._skipped = frozenset((kept.stream, version) for version in kept.skipped)
        self._is_erased = False
        self._is_taken_out = False
        self._has_erased_events = False

    @property
    def stream(self) -> UUID:
        return self.kept.stream

    @property
    def fresh(self) -> Entry[V] | None:
        """What should be kept; None where no event of the stream counts."""
        return self.entry if self.entry.version else None

    def take(self, recorded: Recorded[Event]) -> None:
        """Fold the stream's next event."""
        self.reached = recorded.version
        if erases(recorded):
            self._is_erased = True
        elif recorded.is_erased:
            self._has_erased_events = True
        if self.kept.parked is not None and recorded.version >= self.kept.parked:
            if erases(recorded):
                self.entry = without_person(self.slot.projection, self.entry, recorded)
                self._is_taken_out = True
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
    def is_kept(self) -> bool:
        """Whether version, chain and every field are kept as the log has them."""
        kept, fresh = self.kept.entry, self.fresh
        if kept is None or fresh is None:
            return kept is fresh
        # A view that could not be stored without the person was taken away.
        return self._is_seen(kept, fresh) and (
            kept.view == fresh.view or (self._is_taken_out and kept.view is None)
        )

    @property
    def may_be_erased_since(self) -> bool:
        """Whether all is as it should be if the person was erased after the checkpoint.

        The view then still shows what the log no longer tells.
        """
        kept, fresh = self.kept.entry, self.fresh
        open_since = self._has_erased_events and not self._is_erased
        return open_since and kept is not None and fresh is not None and self._is_seen(kept, fresh)

    def _is_seen(self, kept: Entry[V], fresh: Entry[V]) -> bool:
        same_events = (kept.version, kept.chain) == (fresh.version, fresh.chain)
        return same_events and self.kept.fits and self.problem is None


def contribution_told(projection: Projection[V], entry: Entry[V] | None) -> Mapping[str, int]:
    """What an entry adds to the counters; nothing where that cannot be told of it."""
    try:
        return contribution_of(projection, entry)
    except Exception:
        # Of a view that was tampered with, or made by other code: it is compared all the same.
        return {}
