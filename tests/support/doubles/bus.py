"""An in-memory message bus for tests; it stores what was published."""

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager

from application.errors import Unavailable
from application.messaging.bus import Message, Publisher


class MemoryBus:
    """See `Bus`; a test can make it unavailable, or let it refuse some messages."""

    def __init__(self) -> None:
        self.published: list[Message] = []
        self.is_unavailable = False
        self.refuses: Callable[[Message], bool] = lambda _: False

    @asynccontextmanager
    async def connect(self) -> AsyncGenerator[Publisher]:
        """See `Bus.connect`."""
        self.check()
        yield self

    def check(self) -> None:
        """See `Publisher.check`."""
        if self.is_unavailable:
            raise Unavailable

    async def publish(self, messages: Sequence[Message]) -> Sequence[Message]:
        """See `Publisher.publish`."""
        self.check()
        refused = [message for message in messages if self.refuses(message)]
        self.published += [message for message in messages if message not in refused]
        return refused
