"""The port of runs: begin the run of an entry, and record its outcome; and when a run is retried."""

import random
from collections.abc import Collection
from datetime import datetime
from typing import Final, Literal, Protocol
from uuid import UUID

from msgspec import Struct

# `waiting`: behind an earlier run for the same user. `queued`: next in turn, also for a retry.
RunState = Literal["waiting", "queued", "running", "parked", "done", "skipped"]
FINISHED: Final[frozenset[RunState]] = frozenset({"done", "skipped"})

# An outage of another server does not count as a try, but it is not waited for without end.
LONGEST_OUTAGE_SECONDS: Final = 86_400.0
# 5 s, 20 s, 80 s, 5 min, 21 min, then every hour: a server that greylists accepts within these.
_FIRST_SECONDS: Final = 5.0
_GROWTH: Final = 4
_LONGEST_SECONDS: Final = 3_600.0
_OUTAGE_FIRST_SECONDS: Final = 1.0
_OUTAGE_LONGEST_SECONDS: Final = 60.0


class TakenRun(Struct, frozen=True, kw_only=True):
    """A run that began; `attempt` and the queue's `entry` identify it.

    `tries` counts earlier runs on this event that failed, `outages` those that met an outage.
    `since`: since when it has been the user's turn, or since the last retry by an operator.
    `is_discarded`: the reaction was disabled after the event.
    """

    reaction: str
    event_id: UUID
    position: int
    stream: UUID
    attempt: int
    entry: int
    tries: int
    outages: int
    since: datetime
    is_discarded: bool


class RunOutcome(Struct, frozen=True, kw_only=True):
    """The state after a run. One that is `queued` runs again after `seconds`.

    `failed`: the run counts as a try. `outage`: a server was away. Neither `error` nor anything
    else is personal.
    """

    state: Literal["queued", "parked", "done", "skipped"]
    error: str | None = None
    seconds: float = 0.0
    failed: bool = False
    outage: bool = False


class ReactionRuns(Protocol):
    """The runs, for a worker. Each method raises `Unavailable`; a repeat changes nothing more."""

    async def begin(self, entry: int, names: Collection[str]) -> TakenRun | None:
        """Begin the run of an entry; None if the run has another entry, none, or another reaction."""
        ...

    async def end(self, taken: TakenRun, outcome: RunOutcome) -> bool:
        """Record the outcome of a run; False if the run has another entry, or none, by now."""
        ...


def retry_seconds(tries: int) -> float:
    """The pause after so many failed runs, with jitter."""
    longest = min(_FIRST_SECONDS * _GROWTH ** min(tries - 1, 10), _LONGEST_SECONDS)
    return longest * random.uniform(0.8, 1)  # noqa: S311


def outage_seconds(outages: int) -> float:
    """The pause after so many runs that met an outage, with jitter: short, so that work goes on soon."""
    longest = min(_OUTAGE_FIRST_SECONDS * 2 ** min(outages - 1, 10), _OUTAGE_LONGEST_SECONDS)
    return longest * random.uniform(0.8, 1)  # noqa: S311
