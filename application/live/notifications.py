"""What people who watch are told: a few words now and then, not to be relied on as events are."""

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
"""The bell that rings when there is a new one."""

# A bell can be missed.
_POLL_SECONDS: Final = 2.0
_PARKED_POLL_SECONDS: Final = 10.0
_PAGE: Final = 100
# Who reads so slowly misses the oldest.
_MAX_WAITING: Final = 100


class Notification(Struct, frozen=True, kw_only=True):
    """`about` is the address of what it is about. Nothing of it is personal."""

    id: UUID
    severity: Severity
    message: str
    about: str
    time: datetime


class Notices(Protocol):
    """Where people are told something."""

    async def tell(self, severity: Severity, message: str, about: str) -> None:
        """Tell all who watch. Raises `Unavailable`."""
        ...


class NotificationLog(Protocol):
    """The latest notifications, in order. Each raises `Unavailable`."""

    async def newest(self) -> int:
        """The number of the last one, 0 where there is none."""
        ...

    async def after(self, number: int, limit: int) -> Sequence[tuple[int, Notification]]:
        """Those after a number, each with its own."""
        ...


class ParkedWatch(Protocol):
    async def tell_parked(self) -> None:
        """Tell of each projection that has parked more or fewer streams than people were told of.

        Raises `Unavailable`.
        """
        ...


async def keep_telling_parked(watch: ParkedWatch, doorbell: Doorbell) -> NoReturn:
    """Tell people soon after something is parked or mended; cancel it to stop."""
    back_off = BackOff("parked watch")
    async with doorbell.listen(PARKED) as bell:
        while True:
            try:
                await watch.tell_parked()
            except Exception as error:
                await back_off.wait(error)
            else:
                back_off.reset()
                await bell.wait(_PARKED_POLL_SECONDS)


class Inbox:
    """What one listener was not told yet: the newest of it, if it takes too long to listen."""

    def __init__(self) -> None:
        self._waiting = deque[Notification](maxlen=_MAX_WAITING)
        self._filled = asyncio.Event()

    def put(self, notification: Notification) -> None:
        self._waiting.append(notification)
        self._filled.set()

    async def next(self) -> Notification:
        """The oldest that waits, once there is one."""
        while not self._waiting:
            self._filled.clear()
            await self._filled.wait()
        return self._waiting.popleft()


class NoticeBoard:
    """All listeners of a process: the log is read once for them, and only while there are any."""

    def __init__(self, notifications: NotificationLog, doorbell: Doorbell) -> None:
        self._log = notifications
        self._doorbell = doorbell
        self._inboxes: set[Inbox] = set()
        self._reading: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def listen(self) -> AsyncGenerator[Inbox]:
        """An inbox for what is told from now on."""
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
