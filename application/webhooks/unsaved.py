"""What deliveries have changed since the last save, and the saves themselves."""

import asyncio
from collections import deque
from collections.abc import Collection
from datetime import datetime
from typing import Final
from uuid import UUID

from application.errors import Unavailable
from application.retry import BackOff
from application.webhooks.delivery_ledger import (
    Checkpoint,
    DeliveryProgress,
    MadeAttempt,
    Saved,
)
from application.webhooks.delivery_ports import Answer, ParkedUser
from application.webhooks.health import Health
from domain.event import Event, Recorded

SAVE_SECONDS: Final = 1.0
# After a crash so many events are delivered again, and those in flight.
SAVED_ATTEMPTS: Final = 50
# A position alone, without a delivery, is saved rarely: every webhook follows the log.
_IDLE_SAVES: Final = 5
_MAX_ATTEMPTS: Final = 1000


class Unsaved:
    """Collects attempts and parked users; `full` is set when it is time to save."""

    def __init__(self, progress: DeliveryProgress, checkpoint: Checkpoint, health: Health) -> None:
        self.full = asyncio.Event()
        self._progress = progress
        self._last = (checkpoint, health)
        self._idle = 0
        self._saving: Saved | None = None
        self._parked: dict[UUID, ParkedUser | None] = {}
        self._attempts = deque[MadeAttempt](maxlen=_MAX_ATTEMPTS)
        self._delivered = 0
        self._failed = 0

    @property
    def users(self) -> Collection[UUID]:
        """The parked users whose stored row is not current."""
        saving: Collection[UUID] = self._saving.parked if self._saving else ()
        return {*self._parked, *saving}

    def note(self, recorded: Recorded[Event], answer: Answer, at: datetime, tries: int) -> None:
        """Record an attempt."""
        self._delivered += answer.is_success
        self._failed += not answer.is_success
        self._attempts.append(
            MadeAttempt(
                number=self._delivered + self._failed,
                event_id=recorded.event_id,
                user=recorded.stream,
                position=recorded.position,
                status=answer.status,
                error=answer.error,
                milliseconds=round(answer.seconds * 1000),
                at=at,
                tries=tries,
            )
        )
        if len(self._attempts) >= SAVED_ATTEMPTS:
            self.full.set()

    def park(self, parked: ParkedUser) -> None:
        """The row of this user changes."""
        self._parked[parked.user] = parked

    def unpark(self, user: UUID) -> None:
        """The row of this user is removed."""
        self._parked[user] = None

    async def save(self, checkpoint: Checkpoint, health: Health) -> None:
        """Save until it succeeds; deliveries go on meanwhile. Raises `NotLeading`.

        Nothing is saved after a save that was interrupted, until `save_interrupted`: a later
        checkpoint without the parked users of that save would skip their events.
        """
        if self._saving is not None or not self._is_due(checkpoint, health):
            return
        self._saving = Saved(
            checkpoint=checkpoint,
            health=health,
            delivered=self._delivered,
            failed=self._failed,
            parked=self._parked,
            attempts=list(self._attempts),
        )
        self._parked = {}
        self._attempts.clear()
        self._delivered = self._failed = self._idle = 0
        back_off = BackOff("webhook progress")
        while True:
            try:
                await self._progress.save(self._saving)
            except Unavailable as error:
                await back_off.wait(error)
            else:
                break
        back_off.reset()
        self._last = (checkpoint, health)
        self._saving = None

    async def save_interrupted(self) -> None:
        """Repeat a save that was interrupted; raises `NotLeading` if it was carried out."""
        if self._saving is not None:
            await self._progress.save(self._saving)
            self._saving = None

    def _is_due(self, checkpoint: Checkpoint, health: Health) -> bool:
        if self._parked or self._attempts or health != self._last[1]:
            return True
        if checkpoint == self._last[0]:
            return False
        self._idle += 1
        return self._idle >= _IDLE_SAVES
