"""Moving windows: a few attempts per minute, counted exactly and across all processes."""

from collections import OrderedDict, deque
from collections.abc import Callable
from time import monotonic
from typing import Final, Protocol

from msgspec import Struct

_MAX_KEYS: Final = 50_000


class Window(Struct, frozen=True):
    """At most `limit` attempts in any `seconds`; `name` is for clients."""

    name: str
    limit: int
    seconds: int


class SharedWindow(Protocol):
    async def attempt(self, window: Window, key: str) -> float:
        """Count an attempt of any process: 0, or the seconds to wait if it is one too many.

        It returns 0 within a fraction of a second if it cannot count.
        """
        ...


class _Attempts:
    __slots__ = ("barred_until", "times")

    def __init__(self, limit: int) -> None:
        self.times: deque[float] = deque(maxlen=limit)
        self.barred_until = 0.0


class Attempts:
    """Counts attempts in this process first, then in all processes, if `shared` is given.

    A key that is over its limit is remembered here, so that its next attempts cost no round trip.
    """

    def __init__(
        self,
        window: Window,
        shared: SharedWindow | None = None,
        max_keys: int = _MAX_KEYS,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self.window = window
        self._shared = shared
        self._max_keys = max_keys
        self._clock = clock
        self._keys: OrderedDict[str, _Attempts] = OrderedDict()

    async def attempt(self, key: str) -> float:
        """Count an attempt: 0, or the seconds to wait if it is one too many."""
        known = self._known(key)
        now = self._clock()
        wait = known.barred_until - now
        if wait <= 0 and len(known.times) == self.window.limit:
            wait = known.times[0] + self.window.seconds - now
        if wait > 0:
            return wait
        # Counted before the round trip, so that concurrent attempts see each other.
        known.times.append(now)
        if self._shared is None:
            return 0
        wait = await self._shared.attempt(self.window, key)
        if wait > 0:
            known.times.remove(now)
            known.barred_until = self._clock() + wait
        return wait

    def _known(self, key: str) -> _Attempts:
        known = self._keys.get(key)
        if known is None:
            known = self._keys[key] = _Attempts(self.window.limit)
            if len(self._keys) > self._max_keys:
                self._keys.popitem(last=False)
        else:
            self._keys.move_to_end(key)
        return known
