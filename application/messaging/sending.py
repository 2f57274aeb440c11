"""Publishing to a bus on which a queue of another party may be full."""

import asyncio
from collections.abc import Sequence, Set
from typing import Final, NamedTuple

from structlog import get_logger

from application.messaging.bus import Message, Publisher

# A refused message is retried after each of these pauses.
_PAUSES: Final = (0.05, 0.1, 0.2, 0.4, 0.8)
# A type that was refused in so many pages in a row counts as refused, until it was accepted some
# time after the last refusal. A queue with room for a few messages would otherwise be retried again
# and again.
_REFUSED_PAGES: Final = 2
RETRY_SECONDS: Final = _REFUSED_PAGES * sum(_PAUSES)
"""How long the relay waits for a queue that refuses, before it sets refusals aside at once."""
_QUIET_SECONDS: Final = 5.0

log = get_logger(__name__)


class Sender:
    """Publishes pages, and retries what was refused, unless a queue refuses that type all the time.

    A retry slows all readers, and sends copies to the queues that have accepted the message.
    Queues are bound by type, so a full one says nothing about other types.
    """

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher
        self._refusals: dict[str, _Refusals] = {}

    async def send(self, messages: Sequence[Message]) -> Sequence[Message]:
        """Publish in order. Returns the messages that the bus refused. Raises `Unavailable`."""
        refused = await self._publisher.publish(messages)
        retried = [message for message in refused if not self._is_full(message.type)]
        left = {message.position for message in refused if self._is_full(message.type)}
        for pause in _PAUSES:
            if not retried:
                break
            await asyncio.sleep(pause)
            retried = await send_by_type(self._publisher, retried)
        left.update(message.position for message in retried)
        refused = [message for message in messages if message.position in left]
        self._note({message.type for message in messages}, {message.type for message in refused})
        return refused

    def _is_full(self, type_: str) -> bool:
        known = self._refusals.get(type_)
        return known is not None and known.pages >= _REFUSED_PAGES

    def _note(self, sent: Set[str], refused: Set[str]) -> None:
        now = asyncio.get_running_loop().time()
        for type_ in sorted(refused):
            pages = self._refusals[type_].pages + 1 if type_ in self._refusals else 1
            self._refusals[type_] = _Refusals(pages, now)
            if pages == _REFUSED_PAGES:
                log.warning("queue_full", type=type_)
        for type_ in sorted((sent - refused) & self._refusals.keys()):
            is_full = self._is_full(type_)
            if is_full and now < self._refusals[type_].last + _QUIET_SECONDS:
                continue
            del self._refusals[type_]
            if is_full:
                log.info("queue_has_room", type=type_)


class _Refusals(NamedTuple):
    """In how many pages in a row a type was refused, and when last."""

    pages: int
    last: float


async def send_by_type(publisher: Publisher, messages: Sequence[Message]) -> Sequence[Message]:
    """Publish the first message of each type, then the others of the types that were accepted.

    Queues are bound by type, so a full queue refuses the others of that type too, and the other
    queues get no copies of those. Returns the messages that were not accepted, in order.
    """
    first: dict[str, Message] = {}
    for message in messages:
        first.setdefault(message.type, message)
    refused = {message.position for message in await publisher.publish(list(first.values()))}
    full = {name for name, message in first.items() if message.position in refused}
    others = [
        message
        for message in messages
        if message.type not in full and message is not first[message.type]
    ]
    refused.update(message.position for message in await publisher.publish(others))
    return [each for each in messages if each.type in full or each.position in refused]
