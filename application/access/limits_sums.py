"""Shares with the other processes what each caller and address has used, in the background."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from time import monotonic
from typing import Final, NoReturn, Protocol

from msgspec import Struct

from application.access.limits_buckets import Buckets
from application.retry import BackOff

INTERVAL_SECONDS: Final = 0.5
MAX_KEYS_A_ROUND: Final = 200

# A process adds what it used from this part of the limit on: below it, many processes together stay
# within the limit.
_SHARE: Final = 0.02
# What others used before that is refilled again.
_MAX_AGE_SECONDS: Final = 1.0
_FORGET_SECONDS: Final = 30.0


class SharedSums(Protocol):
    async def add(self, used: Mapping[str, int]) -> Mapping[str, int]:
        """Add to the sums of all processes; the new sums, each of which starts at 0 now and then.

        Empty, within a fraction of a second, if the sums cannot be reached.
        """
        ...


class _Sum(Struct):
    total: int
    at: float


class SharedUse:
    """Each round adds the use of the most active keys, and debits what other processes used.

    So all processes together exceed a limit for a second at most, and then wait that much longer.
    """

    def __init__(
        self,
        sums: SharedSums,
        all_buckets: Sequence[Buckets],
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._sums = sums
        self._all = all_buckets
        self._clock = clock
        self._known: dict[str, _Sum] = {}

    async def run(self) -> NoReturn:
        """A round every half second; cancel it to stop."""
        back_off = BackOff("limits")
        while True:
            await asyncio.sleep(INTERVAL_SECONDS)
            try:
                await self.round()
            except Exception as error:
                await back_off.wait(error)
            else:
                back_off.reset()

    async def round(self) -> None:
        """Add this process's use since the last round, and learn that of the others."""
        drained = [self._used(buckets) for buckets in self._all]
        used = {key: count for each in drained for key, count in each.items()}
        if not used:
            return
        totals = await self._sums.add(used)
        now = self._clock()
        for buckets, own in zip(self._all, drained, strict=True):
            for key in own.keys() & totals.keys():
                others = self._others(key, totals[key], own[key], now)
                if others > 0:
                    buckets.debit(key, others)
        self._forget(now)

    def _used(self, buckets: Buckets) -> Mapping[str, int]:
        at_least = max(1.0, buckets.rate.per_second * INTERVAL_SECONDS * _SHARE)
        return buckets.drain(at_least, MAX_KEYS_A_ROUND // len(self._all))

    def _others(self, key: str, total: int, own: int, now: float) -> float:
        """What the others used since the last round, at most of the last second."""
        known = self._known.get(key)
        self._known[key] = _Sum(total, now)
        if known is None:
            return 0
        others = total - own - (known.total if total >= known.total + own else 0)
        return others * _MAX_AGE_SECONDS / max(now - known.at, _MAX_AGE_SECONDS)

    def _forget(self, now: float) -> None:
        if len(self._known) > 10 * MAX_KEYS_A_ROUND:
            recent = (pair for pair in self._known.items() if now - pair[1].at < _FORGET_SECONDS)
            self._known = dict(recent)
