"""The progress and the rate of work that reports how much of it is done."""

from collections.abc import Callable
from time import monotonic

from msgspec import Struct


class Progress(Struct, frozen=True, kw_only=True):
    """`rate` is in units per second; `rate` and `eta_seconds` are None while unknown."""

    done: int = 0
    total: int | None = None
    rate: float | None = None
    eta_seconds: float | None = None


class Pace:
    """The progress and rate of a run, from its first report on: a run may resume midway."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._first: tuple[int, float] | None = None
        self._last = 0.0
        self._done = 0
        self._total: int | None = None

    def report(self, done: int, total: int | None) -> None:
        self._last = self._clock()
        self._done, self._total = done, total
        if self._first is None:
            self._first = (done, self._last)

    @property
    def progress(self) -> Progress:
        return progress_of(self._done, self._total, self._rate)

    @property
    def _rate(self) -> float | None:
        if self._first is None:
            return None
        done, seconds = self._done - self._first[0], self._last - self._first[1]
        return done / seconds if done > 0 and seconds > 0 else None


def progress_of(
    done: int, total: int | None, rate: float | None, *, running: bool = True
) -> Progress:
    """The progress; while the job runs, with the seconds left at this rate."""
    eta = max(total - done, 0) / rate if running and rate and total is not None else None
    return Progress(done=done, total=total, rate=rate, eta_seconds=eta)
