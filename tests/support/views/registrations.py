"""A projection of registrations, with counters for each month; it refuses some names."""

from datetime import datetime
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from domain.event import ERASED, Event, Recorded
from domain.user.events import UserErased, UserRegistered, UserRenamed
from projections.folding import search_words, sort_key
from projections.projection import Key, Projection, Words

# The beginnings of names that the fold refuses; a test repairs the fold by clearing the set.
refused_names: Final[set[str]] = {"bad"}


class Newcomer(Struct, frozen=True, kw_only=True):
    name: str | None
    joined: datetime
    renames: int = 0


def evolve(view: Newcomer | None, recorded: Recorded[Event]) -> Newcomer | None:
    match recorded.event:
        case UserRegistered(name=name):
            shown = None if name is ERASED else _accepted(str(name))
            return Newcomer(name=shown, joined=recorded.recorded_at)
        case UserRenamed(name=name) if view is not None:
            shown = None if name is ERASED else _accepted(str(name))
            return replace(view, name=shown, renames=view.renames + 1)
        case UserErased():
            return None
        case _:
            return view


def _accepted(name: str) -> str:
    if any(name.startswith(beginning) for beginning in refused_names):
        raise ValueError("a name that the fold refuses")
    return name


NEWCOMERS: Final = Projection(
    name="newcomers",
    kinds=frozenset({"user"}),
    view=Newcomer,
    evolve=evolve,
    contribution=lambda view: {f"joined:{view.joined:%Y-%m}": 1, f"renames:{view.renames}": 1},
    keys=(Key("name_key", lambda view: sort_key(view.name)),),
    words=(Words("words", lambda view: search_words([view.name])),),
    indexes=(("joined", "id"), ("name_key", "id")),
)
