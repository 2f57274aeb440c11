"""Gives runs that are due to the workers, as soon as a place is free and their time has come."""

import asyncio
from collections.abc import Sequence
from math import inf
from time import monotonic
from typing import Final, NoReturn, Protocol

from application.doorbell import PARKED, Doorbell
from application.reactions.availability import Availability
from application.reactions.runs import RunOutcome
from application.retry import BackOff

REACTIONS_BELL: Final = "reactions"
"""The bell that rings when an operator has changed what is to run."""

# Retries are due at a time that no bell rings for.
_POLL_SECONDS: Final = 1.0
_SEEN_SECONDS: Final = 10.0


class ReactionSchedule(Protocol):
    """The runs that wait. Each method raises `Unavailable`; any process may call it at any time."""

    async def register(self, available: Sequence[Availability]) -> None:
        """Record the reactions of this release, and which of them its workers can run.

        One that becomes available begins at the head of the log.
        """
        ...

    async def seen(self, names: Sequence[str]) -> None:
        """Note that a worker has these reactions."""
        ...

    async def schedule(self, names: Sequence[str]) -> bool:
        """Queue what is due of these reactions; True if there is more to do at once."""
        ...


class Scheduler:
    """The loop of a worker; `wake` makes it look at once."""

    def __init__(
        self, schedule: ReactionSchedule, available: Sequence[Availability], doorbell: Doorbell
    ) -> None:
        self._schedule = schedule
        self._available = available
        self._doorbell = doorbell
        self._woken = asyncio.Event()

    def wake(self) -> None:
        self._woken.set()

    def ended(self, outcome: RunOutcome) -> None:
        """A run ended: the next one may begin."""
        self.wake()
        if outcome.state == "parked":
            self._doorbell.ring(PARKED)

    async def run(self) -> NoReturn:
        """Register the reactions, then schedule their runs; cancel it to stop."""
        back_off = BackOff("reactions")
        names = [each.name for each in self._available if each.missing is None]
        is_registered, seen_at = False, -inf
        async with asyncio.TaskGroup() as group:
            group.create_task(self._listen())
            while True:
                self._woken.clear()
                try:
                    if not is_registered:
                        await self._schedule.register(self._available)
                        is_registered = True
                    if monotonic() >= seen_at + _SEEN_SECONDS:
                        await self._schedule.seen([each.name for each in self._available])
                        seen_at = monotonic()
                    is_more = await self._schedule.schedule(names)
                except Exception as error:
                    await back_off.wait(error)
                    continue
                back_off.reset()
                if not is_more:
                    await self._wait()

    async def _listen(self) -> NoReturn:
        async with self._doorbell.listen(REACTIONS_BELL) as bell:
            while True:
                if await bell.wait(60):
                    self.wake()

    async def _wait(self) -> None:
        try:
            async with asyncio.timeout(_POLL_SECONDS):
                await self._woken.wait()
        except TimeoutError:
            return
