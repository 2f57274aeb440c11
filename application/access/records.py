"""Events of kind `access`: each is recorded once, by the first process that tries."""

from collections.abc import Callable
from typing import Final
from uuid import UUID

from application.context import Context
from application.errors import VersionConflict
from application.log.event_log import Draft, EventLog
from domain.access.events import AccessEvent

KIND: Final = "access"

StreamOf = Callable[[str], UUID]
"""The stream of a name: the same in every process, and nobody else can tell it beforehand.

Otherwise a caller could take that stream for a user, and nothing would be recorded.
"""


class AccessRecords:
    """Each event has a name and is the only one of the stream that follows from the name."""

    def __init__(self, log: EventLog, stream_of: StreamOf) -> None:
        self._log = log
        self._stream_of = stream_of

    async def record(self, name: str, event: AccessEvent, context: Context) -> None:
        """Record the event of this name, or find it recorded.

        Raises `Overloaded`, `Unavailable` and `OutcomeUnknown`; after each of them it may be
        repeated.
        """
        draft = Draft(
            kind=KIND,
            stream=self._stream_of(name),
            after_version=0,
            events=(event,),
            context=context,
        )
        try:
            await self._log.append(draft)
        except VersionConflict:
            return
