"""The port to the message bus, where other people's services get the events from."""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol
from uuid import UUID

from msgspec import Struct


class Message(Struct, frozen=True, kw_only=True):
    """An event on its way out; `body` is a CloudEvent in structured JSON.

    `position` and `version` let its receivers tell doubles and order.
    """

    event_id: UUID
    type: str
    stream: UUID
    position: int
    version: int
    body: bytes


class Publisher(Protocol):
    """A connection to the bus."""

    async def publish(self, messages: Sequence[Message]) -> Sequence[Message]:
        """Hand messages over in their order; those that were refused, though the bus works.

        When it returns, all others are kept wherever somebody asked for them. Raises `Unavailable`:
        each of them may have been taken, or not.
        """
        ...

    def check(self) -> None:
        """Raises `Unavailable` once the connection is known to be lost."""
        ...


class Bus(Protocol):
    """Where others' queues get the events from."""

    def connect(self) -> AbstractAsyncContextManager[Publisher]:
        """A connection with what is published to in place. Raises `Unavailable`."""
        ...
