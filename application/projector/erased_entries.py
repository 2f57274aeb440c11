"""Takes an erased person out of a view when the erasure cannot be folded in its turn."""

from msgspec.structs import replace

from application.projector.view_store import Entry
from domain.event import Event, Recorded
from domain.user.events import UserErased
from projections.projection import Projection, V


def erases(recorded: Recorded[Event]) -> bool:
    """Whether the event ends all that was known of a person."""
    return isinstance(recorded.event, UserErased)


def without_person(
    projection: Projection[V], entry: Entry[V], recorded: Recorded[Event]
) -> Entry[V]:
    """The entry of a parked stream once the person is erased, before that event's turn has come.

    It stays at its version, so that the events in between can still be folded when they are
    repaired: they tell nothing of the person any more, and the erasure comes last again. Where the
    erasure itself cannot be folded, the view is taken away.
    """
    if entry.view is None:
        return entry
    try:
        view = projection.evolve(entry.view, replace(recorded, version=entry.version))
    except Exception:
        view = None
    return Entry(view, entry.version, entry.chain)
