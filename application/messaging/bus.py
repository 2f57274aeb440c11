"""The port to the message bus, from which other services get the events."""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol
from uuid import UUID

from msgspec import Struct


class Message(Struct, frozen=True, kw_only=True):
    """A message about an event; `body` is a CloudEvent in structured JSON.

    With `position` and `version` receivers find duplicates and the order.
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
        """Publish messages in order. Returns those that the bus refused.

        All others are then stored in every bound queue. Raises `Unavailable`: each message may be
        published or not.
        """
        ...

    def check(self) -> None:
        """Raises `Unavailable` if the connection is known to be lost."""
        ...


class Bus(Protocol):
    """The message bus."""

    def connect(self) -> AbstractAsyncContextManager[Publisher]:
        """Connect, and declare the exchange. Raises `Unavailable`."""
        ...
