"""Notifications for people: short messages; unlike events, some may be lost."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Final, Literal, NoReturn, Protocol
from uuid import UUID

from msgspec import Struct

from application.doorbell import PARKED, Doorbell
from application.retry import BackOff

Severity = Literal["info", "success", "warning", "error"]

NOTIFICATIONS: Final = "notifications"
"""The bell that rings after a new notification."""

# A listener can miss a bell.
_POLL_SECONDS: Final = 2.0
_PARKED_POLL_SECONDS: Final = 10.0
# While many streams are retried, the number changes all the time: people get one message a second.
_PARKED_PAUSE_SECONDS: Final = 1.0
_PAGE: Final = 100
# A slower listener loses the oldest.
_MAX_WAITING: Final = 100


class Notification(Struct, frozen=True, kw_only=True):
    """`about` is the path of the resource. No field is personal."""

    id: UUID
    severity: Severity
    message: str
    about: str
    time: datetime


class Notifier(Protocol):
    """Sends notifications."""

    async def notify(self, severity: Severity, message: str, about: str) -> None:
        """Send a notification to all listeners. Raises `Unavailable`."""
        ...


class NotificationLog(Protocol):
    """The latest notifications, in order. Each method raises `Unavailable`."""

    async def newest(self) -> int:
        """The number of the last one; 0 if there is none."""
        ...

    async def after(self, number: int, limit: int) -> Sequence[tuple[int, Notification]]:
        """The notifications after a number, each with its number."""
        ...


class ParkedWatch(Protocol):
    async def notify_parked(self) -> None:
        """Send one for each projection and reaction whose number of parked streams or users changed.

        Raises `Unavailable`.
        """
        ...


async def run_parked_notifications(watch: ParkedWatch, doorbell: Doorbell) -> NoReturn:
    """Send notifications when streams are parked or no longer parked; cancel it to stop."""
    back_off = BackOff("parked watch")
    async with doorbell.listen(PARKED) as bell:
        while True:
            try:
                await watch.notify_parked()
            except Exception as error:
                await back_off.wait(error)
            else:
                back_off.reset()
                await asyncio.sleep(_PARKED_PAUSE_SECONDS)
                await bell.wait(_PARKED_POLL_SECONDS)


class Inbox:
    """The queue of one listener; a slow listener loses the oldest."""

    def __init__(self) -> None:
        self._waiting = deque[Notification](maxlen=_MAX_WAITING)
        self._filled = asyncio.Event()

    def put(self, notification: Notification) -> None:
        self._waiting.append(notification)
        self._filled.set()

    async def next(self) -> Notification:
        """Wait for a notification; returns the oldest."""
        while not self._waiting:
            self._filled.clear()
            await self._filled.wait()
        return self._waiting.popleft()


class NoticeBoard:
    """All listeners of a process: one task reads the notifications, while there are listeners."""

    def __init__(self, notifications: NotificationLog, doorbell: Doorbell) -> None:
        self._log = notifications
        self._doorbell = doorbell
        self._inboxes: set[Inbox] = set()
        self._reading: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def listen(self) -> AsyncGenerator[Inbox]:
        """An inbox for the notifications from now on."""
        inbox = Inbox()
        self._inboxes.add(inbox)
        if self._reading is None:
            self._reading = asyncio.create_task(self._read_on())
        try:
            yield inbox
        finally:
            self._inboxes.discard(inbox)
            if not self._inboxes:
                self._stop()

    def _stop(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
            self._reading = None

    async def _read_on(self) -> None:
        back_off = BackOff("notifications")
        read: int | None = None
        async with self._doorbell.listen(NOTIFICATIONS) as bell:
            while True:
                try:
                    if read is None:
                        read = await self._log.newest()
                    page = await self._log.after(read, _PAGE)
                    for number, notification in page:
                        read = number
                        for inbox in self._inboxes:
                            inbox.put(notification)
                except Exception as error:
                    await back_off.wait(error)
                else:
                    back_off.reset()
                    if len(page) < _PAGE:
                        await bell.wait(_POLL_SECONDS)
