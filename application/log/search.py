"""Search of the log after a position, with a filter, in bounded steps."""

from typing import Final, Self
from uuid import UUID

from msgspec import Struct

from application.log.event_log import EventFeed, type_of
from domain.event import Event, Recorded

# One search reads at most 20,000 events, also if few match.
_PAGE: Final = 1000
_PAGES: Final = 20

_DEFAULT_KIND: Final = "user"


class EventFilter(Struct, frozen=True, kw_only=True):
    """`types` are full names, `kinds` whole kinds of stream; `user` narrows to one user's."""

    types: frozenset[str] = frozenset()
    kinds: frozenset[str] = frozenset({_DEFAULT_KIND})
    user: UUID | None = None

    @classmethod
    def parse(cls, types: tuple[str, ...], *, user: UUID | None, every_kind: bool) -> Self:
        """From names such as `user.renamed` and `user.*`; without names, all events of users.

        Kinds other than `user` match only with `every_kind`; unknown names never match.
        """
        if not types:
            return cls(user=user)
        allowed = [name for name in types if every_kind or name.partition(".")[0] == _DEFAULT_KIND]
        return cls(
            types=frozenset(name for name in allowed if not name.endswith(".*")),
            kinds=frozenset(name[:-2] for name in allowed if name.endswith(".*")),
            user=user,
        )

    @property
    def is_narrow(self) -> bool:
        """Whether it leaves out some events of users."""
        return self.user is not None or _DEFAULT_KIND not in self.kinds

    def matches(self, recorded: Recorded[Event]) -> bool:
        if self.user is not None and (recorded.stream != self.user or recorded.kind != "user"):
            return False
        return recorded.kind in self.kinds or type_of(recorded.event) in self.types


class Found(Struct, frozen=True, kw_only=True):
    """The search continues after `reached`; it is after all events read, also those not matching."""

    events: list[Recorded[Event]]
    reached: int


async def search(
    feed: EventFeed, after: int, wanted: EventFilter, *, limit: int, head: int
) -> Found:
    """Up to `limit` matching events after a position; reads at most 20,000 events.

    `head` was read before; later events may be left to the next search. Raises `PositionGone`.
    """
    found: list[Recorded[Event]] = []
    # With a narrow filter, pages of `limit` events would need many round trips.
    page_size = _PAGE if wanted.is_narrow else limit
    for _ in range(_PAGES):
        page = await feed.read(after, page_size)
        for recorded in page.events:
            if wanted.matches(recorded):
                found.append(recorded)
                if len(found) == limit:
                    return Found(events=found, reached=recorded.position)
        after = max(after, page.reached)
        if after >= head or not page.events:
            break
    return Found(events=found, reached=after)
