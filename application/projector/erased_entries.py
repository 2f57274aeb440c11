"""Removes an erased person from a view when the erasure event itself is parked."""

from msgspec.structs import replace

from application.projector.view_store import Entry
from domain.event import Event, Recorded
from domain.user.events import UserErased
from projections.projection import Projection, V


def erases(recorded: Recorded[Event]) -> bool:
    """Whether the event erases a person."""
    return isinstance(recorded.event, UserErased)


def without_person(
    projection: Projection[V], entry: Entry[V], recorded: Recorded[Event]
) -> Entry[V]:
    """The entry of a parked stream after the person is erased.

    Its version does not change, so a retry can still fold the parked events: they hold no personal
    data any more, and the erasure is folded last. If the erasure itself cannot be folded, the view
    is removed.
    """
    if entry.view is None:
        return entry
    try:
        view = projection.evolve(entry.view, replace(recorded, version=entry.version))
    except Exception:
        view = None
    return Entry(view, entry.version, entry.chain)
