"""The relay: publishes the log to the message bus, sealed, in order and at least once."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from math import inf
from typing import Final, NoReturn, Protocol
from uuid import UUID

import msgspec
from msgspec import Struct
from structlog import get_logger

from application.doorbell import Doorbell
from application.log.event_log import FeedPage, Unreadable
from application.log.follower import PageSource, follow
from application.log.sealed import Sealed, sealed_envelope
from application.messaging.bus import Bus, Message, Publisher
from application.messaging.sending import Sender
from application.messaging.tracing import Traces, trace_relayed
from domain.event import Event, Recorded

REFUSED: Final = "refused by the broker"
# While a queue is full, a line for each page would fill the log of the process.
_REPORT_SECONDS: Final = 10.0

_encode: Final = msgspec.json.Encoder().encode

log = get_logger(__name__)


class SetAside(Struct, frozen=True, kw_only=True):
    """An event that was not published, and why; `error` contains no value."""

    position: int
    event_id: UUID
    type: str
    stream: UUID
    error: str


class Progress(Protocol):
    """The checkpoint of the relay, for the process that leads."""

    @property
    def position(self) -> int:
        """The checkpoint that this relay stored. Raises `NotLeading` once the lead is lost."""
        ...

    async def advance(self, reached: int, set_aside: Sequence[SetAside]) -> None:
        """Move the checkpoint and record what was set aside: both or neither.

        Raises `NotLeading` if another process moved it, and `Unavailable`.
        """
        ...


class RelayLedger(Protocol):
    """The store of the relay's checkpoint, and of the events that were set aside."""

    def lead(self) -> AbstractAsyncContextManager[Progress]:
        """Wait until no other relay leads, and lead until the context ends. Raises `Unavailable`."""
        ...


async def run_relay(
    bus: Bus, ledger: RelayLedger, feed: PageSource, doorbell: Doorbell, log_id: UUID
) -> NoReturn:
    """Publish a sealed feed while this process leads; cancel it to stop."""
    await follow("relay", partial(Relay.leading, bus, ledger, log_id), feed, doorbell)


class Relay:
    """The follower that publishes each page and then moves its checkpoint.

    After a crash between the two, the page is published again.
    """

    def __init__(self, publisher: Publisher, progress: Progress, log_id: UUID) -> None:
        self._publisher = publisher
        self._sender = Sender(publisher)
        self._progress = progress
        self._log_id = log_id
        self._traces = Traces()
        self._unreported: list[int] = []
        self._reported_at = -inf

    @classmethod
    @asynccontextmanager
    async def leading(cls, bus: Bus, ledger: RelayLedger, log_id: UUID) -> AsyncGenerator["Relay"]:
        # Connects first, so that a process that cannot reach the bus does not take the lead.
        async with bus.connect() as publisher, ledger.lead() as progress:
            log.info("relay_leads", position=progress.position)
            relay = cls(publisher, progress, log_id)
            try:
                yield relay
            finally:
                relay._report()

    @property
    def position(self) -> int:
        """See `Follower.position`; raises `Unavailable` if the bus is known to be away."""
        self._publisher.check()
        return self._progress.position

    async def handle(self, page: FeedPage) -> None:
        messages: list[Message] = []
        set_aside: list[SetAside] = []
        for recorded in page.events:
            match recorded.event:
                case Sealed() as event:
                    messages.append(message_of(recorded, event, self._log_id))
                case Unreadable() as event:
                    set_aside.append(_unreadable(recorded, event))
                case event:
                    raise TypeError(f"{event.topic} came out of a feed that is not sealed")
        refused = await self._sender.send(messages)
        set_aside += [_refused(message) for message in refused]
        await self._progress.advance(page.reached, set_aside)
        self._trace(page, set_aside)
        self._unreported += [each.position for each in set_aside]
        if asyncio.get_running_loop().time() >= self._reported_at + _REPORT_SECONDS:
            self._report()

    def _trace(self, page: FeedPage, set_aside: Sequence[SetAside]) -> None:
        reasons = {each.position: each.error for each in set_aside}
        trace_relayed(each for each in page.events if each.position not in reasons)
        for recorded in page.events if reasons else ():
            if recorded.position in reasons:
                self._traces.set_aside(recorded, reasons[recorded.position])

    def _report(self) -> None:
        if self._unreported:
            count, first = len(self._unreported), min(self._unreported)
            log.warning("events_not_relayed", count=count, first=first)
            self._unreported.clear()
            self._reported_at = asyncio.get_running_loop().time()


def message_of(recorded: Recorded[Event], event: Sealed, log_id: UUID) -> Message:
    """The message about an event."""
    return Message(
        event_id=recorded.event_id,
        type=event.type,
        stream=recorded.stream,
        position=recorded.position,
        version=recorded.version,
        body=_encode(sealed_envelope(recorded, event, log_id)),
    )


def _refused(message: Message) -> SetAside:
    return SetAside(
        position=message.position,
        event_id=message.event_id,
        type=message.type,
        stream=message.stream,
        error=REFUSED,
    )


def _unreadable(recorded: Recorded[Event], event: Unreadable) -> SetAside:
    return SetAside(
        position=recorded.position,
        event_id=recorded.event_id,
        type=event.type,
        stream=recorded.stream,
        error=event.reason,
    )
