"""The events that the relay could not publish: list them, and publish them again."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Final, Literal, Protocol
from uuid import UUID

from msgspec import Struct

from application.log.sealed import Sealed
from application.messaging.bus import Bus
from application.messaging.relay import SetAside, message_of
from application.messaging.sending import send_by_type
from application.messaging.tracing import Traces
from domain.event import Event, Recorded

MAX_COUNTED: Final = 10_000
_PAGE: Final = 500


class RelayStatus(Struct, frozen=True, kw_only=True):
    """How far the relay is; `rejected` counts the events set aside, up to `MAX_COUNTED`.

    The state is `stopped` if no process relays, else `catching-up` if the oldest event that was not
    published is older than 2 s, else `live`.
    """

    position: int
    head: int
    lag: int
    lag_seconds: float
    rejected: int
    last_rejected_at: datetime | None
    state: Literal["live", "catching-up", "stopped"]


class Rejected(SetAside, frozen=True, kw_only=True):
    """An event that was set aside, and when."""

    set_aside_at: datetime


class RelayRecords(Protocol):
    """The records of the relay. Each method raises `Unavailable`."""

    async def status(self) -> RelayStatus:
        """How far the relay is."""
        ...

    async def rejected(self, after: int, limit: int) -> Sequence[Rejected]:
        """The events set aside after a position, in order."""
        ...

    async def remove(self, positions: Sequence[int]) -> None:
        """Remove the records of events that were published."""
        ...


class SealedEvents(Protocol):
    async def at(self, positions: Sequence[int]) -> Sequence[Recorded[Event]]:
        """The sealed events at these positions, in order. Raises `Unavailable`."""
        ...


class Replayed(Struct, frozen=True, kw_only=True):
    """How many events were published, refused again, and still cannot be read."""

    sent: int = 0
    refused: int = 0
    unreadable: int = 0


async def replay(
    bus: Bus,
    records: RelayRecords,
    events: SealedEvents,
    log_id: UUID,
    report: Callable[[int], Awaitable[None]],
) -> Replayed:
    """Publish the events that are set aside now; the record of each one that is confirmed ends.

    `report` gets the number of events tried. If it is repeated after a crash, receivers may get
    the last page twice. Raises `Unavailable`.
    """
    sent = refused = unreadable = after = 0
    traces = Traces()
    # Later ones are the relay's: a queue that is still full would otherwise keep this going.
    end = (await records.status()).position
    async with bus.connect() as publisher:
        while page := [
            each for each in await records.rejected(after, _PAGE) if each.position <= end
        ]:
            after = page[-1].position
            found = await events.at([each.position for each in page])
            messages = [
                message_of(recorded, recorded.event, log_id)
                for recorded in found
                if isinstance(recorded.event, Sealed)
            ]
            left = {message.position for message in await send_by_type(publisher, messages)}
            confirmed = {each.position for each in messages} - left
            await records.remove(sorted(confirmed))
            for recorded in found:
                if recorded.position in confirmed:
                    traces.replayed(recorded)
            sent += len(confirmed)
            refused += len(left)
            unreadable += len(page) - len(messages)
            await report(sent + refused + unreadable)
    return Replayed(sent=sent, refused=refused, unreadable=unreadable)
