"""Token buckets: how many requests each caller or address may send, decided in memory."""

import heapq
from collections import OrderedDict
from collections.abc import Callable, Mapping
from time import monotonic
from typing import Final

from msgspec import Struct

MAX_KEYS: Final = 50_000
# Of other processes' use, in bursts: a caller that stops waits a few seconds at most.
_MAX_DEBT: Final = 2
# Sums of many small refills are not exact.
_ROUNDING: Final = 1e-6


class Rate(Struct, frozen=True):
    """`per_second` requests on average, and at most `burst` at once; `name` is for clients."""

    name: str
    per_second: int
    burst: int

    def seconds(self, left: float) -> float:
        """How long to wait after `Buckets.take` returned `left` below 0."""
        return -left / self.per_second


class _Bucket:
    __slots__ = ("at", "level", "used")

    def __init__(self, level: float, at: float) -> None:
        self.level = level
        self.at = at
        self.used = 0


class Buckets:
    """A bucket of tokens for each key; a key that was not used for long starts with a full one.

    Keeps the `max_keys` keys that were used last. No operation waits.
    """

    def __init__(
        self, rate: Rate, max_keys: int = MAX_KEYS, clock: Callable[[], float] = monotonic
    ) -> None:
        self.rate = rate
        self._per_second = float(rate.per_second)
        self._burst = float(rate.burst)
        self._max_keys = max_keys
        self._clock = clock
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()
        self._active: dict[str, _Bucket] = {}

    def __len__(self) -> int:
        return len(self._buckets)

    def take(self, key: str) -> float:
        """Take a token; the tokens that are left, or below 0 the missing ones if none was taken."""
        bucket = self._refilled(key)
        left = bucket.level - 1
        if left < -_ROUNDING:
            return left
        if not bucket.used:
            self._active[key] = bucket
        bucket.used += 1
        bucket.level = left = max(left, 0.0)
        return left

    def give_back(self, key: str) -> None:
        """Return a token that was taken a moment ago."""
        bucket = self._refilled(key)
        bucket.level = min(bucket.level + 1, self._burst)
        bucket.used = max(bucket.used - 1, 0)

    def debit(self, key: str, tokens: float) -> None:
        """Take what other processes have used, if the key has a bucket here."""
        if key in self._buckets:
            bucket = self._refilled(key)
            bucket.level = max(bucket.level - tokens, -_MAX_DEBT * self._burst)

    def drain(self, at_least: float, max_keys: int) -> Mapping[str, int]:
        """The tokens taken since the last call, by key: the largest numbers, from `at_least` on."""
        used = {key: bucket.used for key, bucket in self._active.items()}
        for bucket in self._active.values():
            bucket.used = 0
        self._active.clear()
        found = (pair for pair in used.items() if pair[1] >= at_least)
        return dict(heapq.nlargest(max_keys, found, key=lambda pair: pair[1]))

    def _refilled(self, key: str) -> _Bucket:
        now = self._clock()
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = self._buckets[key] = _Bucket(self._burst, now)
            if len(self._buckets) > self._max_keys:
                self._active.pop(self._buckets.popitem(last=False)[0], None)
            return bucket
        self._buckets.move_to_end(key)
        level = bucket.level + (now - bucket.at) * self._per_second
        bucket.level = min(level, self._burst)
        bucket.at = now
        return bucket
