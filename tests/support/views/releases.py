"""One projection in three releases: people, then with their address, then without the time."""

from datetime import datetime
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from domain.event import ERASED, Event, Recorded
from domain.user.events import UserEmailChanged, UserErased, UserRegistered, UserRenamed
from projections.folding import sort_key
from projections.projection import Key, Projection


class Person(Struct, frozen=True, kw_only=True):
    name: str
    joined: datetime


def evolve(view: Person | None, recorded: Recorded[Event]) -> Person | None:
    match recorded.event:
        case UserRegistered(name=name) if name is not ERASED:
            return Person(name=str(name), joined=recorded.recorded_at)
        case UserRenamed(name=name) if view is not None and name is not ERASED:
            return replace(view, name=str(name))
        case UserErased():
            return None
        case _:
            return view


FIRST: Final = Projection(
    name="people",
    kinds=frozenset({"user"}),
    view=Person,
    evolve=evolve,
    indexes=(("joined", "id"),),
)


class Reachable(Person, frozen=True, kw_only=True):
    """The second release adds a required field, a field with a default, a key and an index."""

    email: str
    changes: int = 0


def evolve_reachable(view: Reachable | None, recorded: Recorded[Event]) -> Reachable | None:
    match recorded.event:
        case UserRegistered(name=name, email=email) if name is not ERASED:
            return Reachable(name=str(name), joined=recorded.recorded_at, email=str(email))
        case UserEmailChanged(email=email) if view is not None and email is not ERASED:
            return replace(view, email=str(email), changes=view.changes + 1)
        case _:
            view_after: Any = evolve(view, recorded)
            return view_after


SECOND: Final = Projection(
    name="people",
    kinds=frozenset({"user"}),
    view=Reachable,
    evolve=evolve_reachable,
    keys=(Key("email_key", lambda view: sort_key(view.email)),),
    indexes=(("joined", "id"), ("email_key", "id")),
)


class Untimed(Struct, frozen=True, kw_only=True):
    """The third release removes a required field, and needs a new revision for that."""

    name: str
    email: str


def evolve_untimed(view: Untimed | None, recorded: Recorded[Event]) -> Untimed | None:
    match recorded.event:
        case UserRegistered(name=name, email=email) if name is not ERASED:
            return Untimed(name=str(name), email=str(email))
        case UserRenamed(name=name) if view is not None and name is not ERASED:
            return replace(view, name=str(name))
        case UserErased():
            return None
        case _:
            return view


THIRD: Final = Projection(
    name="people",
    kinds=frozenset({"user"}),
    view=Untimed,
    evolve=evolve_untimed,
    revision=2,
)
