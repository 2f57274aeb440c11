"""Search of the log after a position: which events are wanted, and the port that finds them."""

from typing import Final, Protocol, Self
from uuid import UUID

from msgspec import Struct

from application.log.event_log import EventFeed, FeedPage, type_of
from domain.catalogue import EVENT_TYPES, kind_of
from domain.errors import InvalidValue
from domain.event import Event, Recorded

_DEFAULT_KIND: Final = "user"
LIBRARY_KIND: Final = "library"
"""The kind of streams that an application of the eventsourcing library saves."""

_KINDS: Final = dict.fromkeys((*map(kind_of, EVENT_TYPES), LIBRARY_KIND))
TYPE_NAMES: Final = (*EVENT_TYPES, *(f"{kind}.*" for kind in _KINDS))
"""The names that filters know: all types of events, and a pattern for each kind of stream."""


def parse_type(name: str) -> str:
    """The name, if it is one of `TYPE_NAMES`. Raises `InvalidValue`, which names these."""
    if name not in TYPE_NAMES:
        raise InvalidValue(f"Must be among the types of events: {', '.join(TYPE_NAMES)}.")
    return name


class EventFilter(Struct, frozen=True, kw_only=True):
    """`types` are full names, `kinds` whole kinds of stream; `user` narrows to one user's."""

    types: frozenset[str] = frozenset()
    kinds: frozenset[str] = frozenset({_DEFAULT_KIND})
    user: UUID | None = None

    @classmethod
    def parse(cls, types: tuple[str, ...], *, user: UUID | None, every_kind: bool) -> Self:
        """From names such as `user.renamed` and `user.*`; without names, all events of users.

        Kinds other than `user` match only with `every_kind`.
        """
        if not types:
            return cls(user=user)
        allowed = [name for name in types if every_kind or name.partition(".")[0] == _DEFAULT_KIND]
        return cls(
            types=frozenset(name for name in allowed if not name.endswith(".*")),
            kinds=frozenset(name[:-2] for name in allowed if name.endswith(".*")),
            user=user,
        )

    def matches(self, recorded: Recorded[Event]) -> bool:
        if self.user is not None and (recorded.stream != self.user or recorded.kind != "user"):
            return False
        return recorded.kind in self.kinds or type_of(recorded.event) in self.types


class SearchableFeed(EventFeed, Protocol):
    """The log, for readers of a part of it."""

    async def search(self, after: int, wanted: EventFilter, limit: int) -> FeedPage:
        """Up to `limit` matching events with a position above `after`.

        A step examines a limited number of events, so it may find none before the head. All events
        up to `reached` were examined; it is `after` only at the head. Raises `PositionGone` and
        `Unavailable`.
        """
        ...
