"""A message bus inside one process, for tests: it keeps what was published."""

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager

from application.errors import Unavailable
from application.messaging.bus import Message, Publisher


class MemoryBus:
    """See `Bus`; its state can be set: away, or refusing some messages."""

    def __init__(self) -> None:
        self.taken: list[Message] = []
        self.is_away = False
        self.refuses: Callable[[Message], bool] = lambda _: False

    @asynccontextmanager
    async def connect(self) -> AsyncGenerator[Publisher]:
        """See `Bus.connect`."""
        self.check()
        yield self

    def check(self) -> None:
        """See `Publisher.check`."""
        if self.is_away:
            raise Unavailable

    async def publish(self, messages: Sequence[Message]) -> Sequence[Message]:
        """See `Publisher.publish`."""
        self.check()
        refused = [message for message in messages if self.refuses(message)]
        self.taken += [message for message in messages if message not in refused]
        return refused
