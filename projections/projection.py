"""What a projection is: a name, the shape of its view and a pure fold from events to it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Generic, TypeVar

from msgspec import Struct

from domain.event import Event, Recorded

V = TypeVar("V", bound=Struct)


class Key(Struct, Generic[V], frozen=True):
    """A text column to sort or look up by, made from the view; it never leaves the store."""

    name: str
    of: Callable[[V], str]


class Words(Struct, Generic[V], frozen=True):
    """A column to search by words and prefixes, made from the view; indexed by itself."""

    name: str
    of: Callable[[V], Sequence[str]]


class Projection(Struct, Generic[V], frozen=True, kw_only=True):
    """A fold over whole streams of some kinds, one view a stream.

    `evolve` is pure and takes every event of a stream in turn, those it does nothing with too, so
    that a view knows by its version whether it saw them all. None removes the view. An event that
    `evolve` raises on is parked.

    The table follows from the annotations of `view`; fields called `id` and `version` hold the
    stream and its version. `keys` and `words` are columns made besides, `indexes` the column names
    of each further index.

    `contribution` makes a view of many streams: what this one adds to each counter. Counters are
    sums: each change of a view adds its difference.

    `revision` increases by one when the same events give other views than before, or when a column
    is removed: the next release then rebuilds the projection by itself. A new column does that
    without a new revision.
    """

    name: str
    kinds: frozenset[str]
    view: type[V]
    evolve: Callable[[V | None, Recorded[Event]], V | None]
    contribution: Callable[[V], Mapping[str, int]] | None = None
    keys: tuple[Key[V], ...] = ()
    words: tuple[Words[V], ...] = ()
    indexes: tuple[tuple[str, ...], ...] = ()
    revision: int = 1

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns made from a view: its fields, then its keys and words."""
        made = (*self.keys, *self.words)
        return (*self.view.__struct_fields__, *(each.name for each in made))
