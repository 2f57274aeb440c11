"""A JSON value level by level: its nodes are checked many at a time, without a call for each."""

from collections.abc import Iterator, Sequence
from itertools import chain
from math import isfinite
from typing import Any, Final, cast

_values: Final = dict[Any, Any].values
CONTAINERS: Final[frozenset[type]] = frozenset({dict, list})
JSON_TYPES: Final[frozenset[type]] = CONTAINERS | {bool, float, int, str, type(None)}


class Level:
    """All members of the objects and lists at one depth: the keys and the nodes.

    `kinds` are the types of the nodes.
    """

    __slots__ = ("keys", "kinds", "nodes")

    def __init__(self, containers: Sequence[Any]) -> None:
        objects: list[Any] = [each for each in containers if type(each) is dict]
        lists: list[Any] = [each for each in containers if type(each) is list]
        self.keys: list[Any] = list(chain.from_iterable(objects))
        values = chain.from_iterable(map(_values, objects))
        self.nodes: list[Any] = [*values, *chain.from_iterable(lists)]
        self.kinds: set[type] = set(map(type, self.nodes))

    def of(self, kind: type) -> list[Any]:
        """The nodes of exactly this type."""
        return [node for node in self.nodes if type(node) is kind] if kind in self.kinds else []

    @property
    def containers(self) -> list[Any]:
        """The objects and lists among the nodes."""
        if self.kinds.isdisjoint(CONTAINERS):
            return []
        return [node for node in self.nodes if type(node) in CONTAINERS]

    def has_number_beyond(self, limit: int) -> bool:
        """Whether a number is not finite or not within ± `limit`."""
        integers, floats = self.of(int), self.of(float)
        if not all(map(isfinite, floats)):
            return True
        return any(
            max(numbers) > limit or min(numbers) < -limit
            for numbers in (integers, floats)
            if numbers
        )

    def has_unfit_text(self) -> bool:
        """Whether a key or a text has U+0000 or a lone surrogate, which Postgres cannot store."""
        text = "".join(cast("list[str]", [*self.keys, *self.of(str)]))
        if "\0" in text:
            return True
        try:
            text.encode()
        except UnicodeEncodeError:
            return True
        return False


def levels(root: dict[Any, Any] | list[Any]) -> Iterator[Level]:
    """The members of the root, then the members of those, and so on."""
    containers: list[Any] = [root]
    while containers:
        level = Level(containers)
        yield level
        containers = level.containers
