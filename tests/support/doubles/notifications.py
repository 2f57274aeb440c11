"""In-memory notifications for tests; they pass the same contract suite as the real ones."""

from collections.abc import Callable, Sequence
from datetime import datetime
from uuid import UUID

from application.doorbell import Doorbell
from application.live.notifications import NOTIFICATIONS, Notification, Severity


class InMemoryNotifications:
    """See `Notifier` and `NotificationLog`."""

    def __init__(
        self, doorbell: Doorbell, new_id: Callable[[], UUID], now: Callable[[], datetime]
    ) -> None:
        self._doorbell = doorbell
        self._new_id = new_id
        self._now = now
        self._notifications: list[Notification] = []

    async def notify(self, severity: Severity, message: str, about: str) -> None:
        self._notifications.append(
            Notification(
                id=self._new_id(), severity=severity, message=message, about=about, time=self._now()
            )
        )
        self._doorbell.ring(NOTIFICATIONS)

    async def newest(self) -> int:
        return len(self._notifications)

    async def after(self, number: int, limit: int) -> Sequence[tuple[int, Notification]]:
        return list(enumerate(self._notifications, start=1))[number : number + limit]
