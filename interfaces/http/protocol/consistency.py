"""Read your own writes: the position that a query's view must have reached."""

import re
from collections import OrderedDict
from collections.abc import Callable
from time import monotonic
from typing import Final

from fastapi import Request

from interfaces.http.protocol.headers import header
from interfaces.http.protocol.refusals import InvalidRequest

POSITION: Final = "Rollbook-Position"
MIN_POSITION: Final = "Rollbook-Min-Position"

_REMEMBERED_SECONDS: Final = 10.0
_MAX_ACTORS: Final = 10_000
_POSITION: Final = re.compile(r"[0-9]{1,18}")


class RecentCommands:
    """The position of each actor's last command, for 10 s and the last 10,000 actors.

    A client that sends no positions still reads its own writes, as long as it talks to the same
    process.
    """

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._last: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def remember(self, actor: str, position: int) -> None:
        known = self.position(actor)
        self._last[actor] = (max(known, position), self._clock() + _REMEMBERED_SECONDS)
        self._last.move_to_end(actor)
        if len(self._last) > _MAX_ACTORS:
            self._last.popitem(last=False)

    def position(self, actor: str) -> int:
        """0 if the actor sent no command recently."""
        position, until = self._last.get(actor, (0, 0.0))
        return position if self._clock() < until else 0


def min_position(request: Request) -> int:
    """The position that the client asks for, 0 if none; raises `InvalidRequest`."""
    raw = header(request, MIN_POSITION)
    if raw is None:
        return 0
    if _POSITION.fullmatch(raw) is None:
        raise InvalidRequest.at(MIN_POSITION, "Must be a position: a whole number.")
    return int(raw)
