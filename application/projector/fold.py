"""How events change entries of a view: pure functions that projector, rebuild and repair share."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from typing import Any, Final
from uuid import UUID

from msgspec.structs import replace

from application.failures import describe
from application.log.event_log import Unreadable
from application.projector.erased_entries import erases, without_person
from application.projector.view_store import Changes, Entry, ParkedEvent, Skipped, Unstorable
from domain.event import Event, Recorded
from projections.projection import Projection, V

QUEUED: Final = "queued behind a parked event"
_UNFINISHED: Final = "not yet retried"
NOTHING: Final[Entry[Any]] = Entry(None, 0, b"")
"""The entry of a stream before its first event."""

_CHAIN_BYTES: Final = 16


def fold_page(
    projection: Projection[V],
    entries: Mapping[UUID, Entry[V]],
    parked: AbstractSet[UUID],
    events: Iterable[Recorded[Event]],
    skipped: Skipped = frozenset(),
) -> Changes[V]:
    """The changes of the views by a page of events. See `fold_events`.

    Raises `Unstorable` if the contribution of a view fails.
    """
    changed, left_out = fold_events(projection, entries, parked, events, skipped)
    counters = counted(projection, entries, changed)
    return Changes[V](entries=changed, counters=counters, parked=left_out)


def fold_events(
    projection: Projection[V],
    entries: Mapping[UUID, Entry[V]],
    parked: AbstractSet[UUID],
    events: Iterable[Recorded[Event]],
    skipped: Skipped = frozenset(),
) -> tuple[dict[UUID, Entry[V]], list[ParkedEvent]]:
    """The changed entries and the parked events; an event already folded changes nothing.

    An event is parked if it cannot be read or folded, or if its predecessor is missing. All later
    events of its stream are parked, too; an erasure among them still removes the person.
    """
    changed: dict[UUID, Entry[V]] = {}
    held_back = set(parked)
    left_out: list[ParkedEvent] = []
    for recorded in events:
        stream = recorded.stream
        entry = changed.get(stream) or entries.get(stream) or NOTHING
        if recorded.version <= entry.version:
            continue
        folded = QUEUED
        if stream not in held_back:
            folded = entry_after(projection, entry, recorded, skipped)
        if isinstance(folded, Entry):
            changed[stream] = folded
        else:
            held_back.add(stream)
            left_out.append(parked_event(recorded, folded))
            if erases(recorded) and entry.view is not None:
                changed[stream] = without_person(projection, entry, recorded)
    return changed, left_out


def entry_after(
    projection: Projection[V], entry: Entry[V], recorded: Recorded[Event], skipped: Skipped
) -> Entry[V] | str:
    """The entry after the next event of its stream, or the reason to park the event.

    A skipped event changes no view, but counts as folded; a skipped erasure removes the person.
    """
    if recorded.version != entry.version + 1:
        return f"version {entry.version + 1} is missing"
    if skipped and (recorded.stream, recorded.version) in skipped:
        return _skipped_over(projection, entry, recorded)
    if isinstance(recorded.event, Unreadable):
        return recorded.event.reason
    try:
        return after(projection, entry, recorded)
    except Exception as error:
        return describe(error)


def _skipped_over(
    projection: Projection[V], entry: Entry[V], recorded: Recorded[Event]
) -> Entry[V]:
    """The entry after a skipped event; a view with a field `version` gets the event's version."""
    view = without_person(projection, entry, recorded).view if erases(recorded) else entry.view
    if view is not None and "version" in view.__struct_fields__:
        view = replace(view, version=recorded.version)
    return Entry(view, recorded.version, chained(entry, recorded))


def after(projection: Projection[V], entry: Entry[V], recorded: Recorded[Event]) -> Entry[V]:
    """The entry after its stream's next event. Raises what `evolve` raises."""
    view = projection.evolve(entry.view, recorded)
    return Entry(view, recorded.version, chained(entry, recorded))


def chained(entry: Entry[Any], recorded: Recorded[Event]) -> bytes:
    """The chain of an entry after its stream's next event."""
    return hashlib.sha256(entry.chain + recorded.event_id.bytes).digest()[:_CHAIN_BYTES]


def contribution_of(projection: Projection[V], entry: Entry[V] | None) -> Mapping[str, int]:
    """What an entry adds to the counters. Raises what `contribution` raises."""
    if projection.contribution is None or entry is None or entry.view is None:
        return {}
    return projection.contribution(entry.view)


def counted(
    projection: Projection[V], before: Mapping[UUID, Entry[V]], changed: Mapping[UUID, Entry[V]]
) -> dict[str, int]:
    """The differences of the counters. Raises `Unstorable` if a contribution fails."""
    if projection.contribution is None:
        return {}
    sums = Counter[str]()
    try:
        for stream, entry in changed.items():
            sums.update(contribution_of(projection, entry))
            sums.subtract(contribution_of(projection, before.get(stream)))
    except Exception as error:
        raise Unstorable(describe(error)) from error
    return {counter: difference for counter, difference in sums.items() if difference}


def park_unstorable(
    projection: Projection[V], entry: Entry[V] | None, recorded: Recorded[Event], reason: str
) -> Changes[V]:
    """Park an event whose view cannot be stored.

    If the event is an erasure, the view is removed.
    """
    parked = parked_event(recorded, reason)
    if entry is None or not erases(recorded):
        return Changes(parked=[parked])
    gone = Entry[V](None, entry.version, entry.chain)
    try:
        counters = counted(projection, {recorded.stream: entry}, {recorded.stream: gone})
    except Unstorable:
        # A wrong counter can be repaired later; the person must be removed now.
        counters = {}
    return Changes(entries={recorded.stream: gone}, counters=counters, parked=[parked])


def parked_event(recorded: Recorded[Event], reason: str) -> ParkedEvent:
    """The event, parked for this reason."""
    return ParkedEvent(
        stream=recorded.stream,
        version=recorded.version,
        position=recorded.position,
        event_id=recorded.event_id,
        error=reason,
        unreadable=isinstance(recorded.event, Unreadable) and reason != QUEUED,
    )


def unfinished_event(recorded: Recorded[Event]) -> ParkedEvent:
    """The event at which a retry goes on; if it was interrupted, by itself."""
    return replace(parked_event(recorded, _UNFINISHED), unreadable=True)
