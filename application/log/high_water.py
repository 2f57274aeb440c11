"""High-water marks: how far a log has come, kept outside its database, so that a restore shows."""

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from typing import Protocol, TypeVar
from uuid import UUID

from msgspec import Struct
from structlog import get_logger

T = TypeVar("T")

log = get_logger(__name__)


class Epoch(Struct, frozen=True):
    """A part of the history of a log: from one break to the next.

    `since` is in microseconds since 1970. Two copies of a log may each begin an epoch with the
    same number, but not at the same time.
    """

    number: int
    since: int

    def __str__(self) -> str:
        return f"{self.number}:{self.since}"

    @classmethod
    def parse(cls, text: str) -> "Epoch":
        """The epoch that `str` wrote. Raises `ValueError`."""
        number, since = text.split(":")
        return cls(int(number), int(since))


Marks = Mapping[Epoch, int]
"""A position for each epoch. The log has, or had, committed events or a break up to there."""


class MarksUnavailable(Exception):
    """The high-water marks cannot be read or written."""


class HighWaterMarks(Protocol):
    """A place outside the database that keeps the marks of logs."""

    async def read(self, log_id: UUID) -> Marks:
        """The marks of a log; none if it is not known. Raises `MarksUnavailable`."""
        ...

    async def raise_to(self, log_id: UUID, marks: Marks) -> None:
        """Raise the marks of a log; a higher mark stays. Raises `MarksUnavailable`."""
        ...


class CombinedMarks:
    """The marks of all given places: each mark is the highest one that any of them has.

    It raises nothing. A place that does not answer is left out, and logged once.
    """

    def __init__(self, *places: HighWaterMarks) -> None:
        self._places = places
        self._away = set[HighWaterMarks]()

    async def read(self, log_id: UUID) -> Marks:
        work = (self._attempt(place, place.read(log_id)) for place in self._places)
        return highest([marks for marks in await asyncio.gather(*work) if marks is not None])

    async def raise_to(self, log_id: UUID, marks: Marks) -> None:
        work = (self._attempt(place, place.raise_to(log_id, marks)) for place in self._places)
        await asyncio.gather(*work)

    async def _attempt(self, place: HighWaterMarks, work: Awaitable[T]) -> T | None:
        try:
            result = await work
        except MarksUnavailable as error:
            if place not in self._away:
                self._away.add(place)
                cause = type(error.__cause__).__name__
                log.warning("high_water_away", place=type(place).__name__, error=cause)
            return None
        if place in self._away:
            self._away.discard(place)
            log.info("high_water_back", place=type(place).__name__)
        return result


def highest(several: Sequence[Marks]) -> Marks:
    """For each epoch the highest of its marks."""
    found: dict[Epoch, int] = {}
    for marks in several:
        for epoch, position in marks.items():
            found[epoch] = max(position, found.get(epoch, 0))
    return found


def is_behind(epoch: Epoch, position: int, marks: Marks) -> bool:
    """Whether a log that has come to this position of this epoch once was further.

    The marks must have been read before the position. The log is also behind if another history
    has an epoch of the same number: positions and cached values of the two could be confused.
    """
    others = (other for other in marks if other != epoch)
    return marks.get(epoch, 0) > position or any(epoch.number == each.number for each in others)
