"""Records which caller reads personal data of many people: once an hour, caller and place."""

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Final

from msgspec import Struct
from structlog import get_logger

from application.access.records import AccessRecords
from application.context import Context
from application.failures import describe
from application.identity import Principal
from domain.access.events import AccessOpened, Opened

# An answer waits no longer for its opening to be recorded.
_WAIT_SECONDS: Final = 1.0
# After a failure no other attempt begins for so long: many callers must not fill the queue.
_PAUSE_SECONDS: Final = 1.0
_MAX_REMEMBERED: Final = 50_000
_HOUR: Final = 3600

log = get_logger(__name__)


class Opening(Struct, frozen=True):
    """Personal data that a caller opens in one hour, counted from 1970 (UTC).

    Callers are told apart by what they presented; those of a JWT by their actor alone.
    """

    actor: str
    credential: str | None
    what: Opened
    hour: int

    @property
    def name(self) -> str:
        return "\x00".join(
            ("opening", self.actor, self.credential or "", self.what, str(self.hour))
        )


class Openings:
    """Records `access.opened` before the answer, at most once an hour, caller and place.

    An answer is served even if the log cannot be written. A later request of the same hour then
    tries again.
    """

    def __init__(self, records: AccessRecords, now: Callable[[], datetime]) -> None:
        self._records = records
        self._now = now
        self._hour = 0
        self._recorded = set[Opening]()
        self._running = dict[Opening, asyncio.Task[None]]()
        self._is_writable = True
        self._pause_until = 0.0

    async def record(self, principal: Principal, what: Opened, correlation_id: str) -> None:
        """Record it, unless this process knows that it is recorded; waits one second at most.

        While the log cannot be written, only the first answers wait.
        """
        hour = int(self._now().timestamp()) // _HOUR
        opening = Opening(principal.actor, principal.credential, what, hour)
        if opening in self._recorded:
            return
        attempt = self._running.get(opening)
        if attempt is None:
            if asyncio.get_running_loop().time() < self._pause_until:
                return
            event = AccessOpened(what=what, presented=principal.kind)
            context = Context(actor=principal.actor, correlation_id=correlation_id)
            attempt = asyncio.create_task(self._attempt(opening, event, context), name="opening")
            self._running[opening] = attempt
        if self._is_writable:
            done, _ = await asyncio.wait([attempt], timeout=_WAIT_SECONDS)
            self._is_writable = self._is_writable and bool(done)

    async def _attempt(self, opening: Opening, event: AccessOpened, context: Context) -> None:
        try:
            await self._records.record(opening.name, event, context)
        except Exception as error:
            self._is_writable = False
            self._failed(opening, error)
        else:
            self._is_writable = True
            self._remember(opening)
        finally:
            del self._running[opening]

    def _failed(self, opening: Opening, error: Exception) -> None:
        """One line for all attempts that fail together, without the actor: it may be a name."""
        now = asyncio.get_running_loop().time()
        if now >= self._pause_until:
            log.warning("opening_not_recorded", what=opening.what, error=describe(error))
        self._pause_until = now + _PAUSE_SECONDS

    def _remember(self, opening: Opening) -> None:
        """Openings of earlier hours are never asked for again."""
        if opening.hour > self._hour or len(self._recorded) >= _MAX_REMEMBERED:
            self._hour = max(opening.hour, self._hour)
            self._recorded.clear()
        self._recorded.add(opening)
