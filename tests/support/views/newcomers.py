"""Who joined when: one row a user, and a counter for each month. It chokes on names it dislikes."""

from datetime import datetime
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from domain.event import ERASED, Event, Recorded
from domain.user.events import UserErased, UserRegistered, UserRenamed
from projections.folding import search_words, sort_key
from projections.projection import Key, Projection, Words

# What a name must not begin with; a test may mend the fold by emptying it.
disliked: Final[set[str]] = {"bad"}


class Newcomer(Struct, frozen=True, kw_only=True):
    name: str | None
    joined: datetime
    renames: int = 0


def evolve(view: Newcomer | None, recorded: Recorded[Event]) -> Newcomer | None:
    match recorded.event:
        case UserRegistered(name=name):
            shown = None if name is ERASED else _liked(str(name))
            return Newcomer(name=shown, joined=recorded.recorded_at)
        case UserRenamed(name=name) if view is not None:
            shown = None if name is ERASED else _liked(str(name))
            return replace(view, name=shown, renames=view.renames + 1)
        case UserErased():
            return None
        case _:
            return view


def _liked(name: str) -> str:
    if any(name.startswith(beginning) for beginning in disliked):
        raise ValueError("a name that the fold does not take")
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
