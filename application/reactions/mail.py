"""The port that sends mail for reactions."""

from collections.abc import Mapping
from typing import Protocol
from uuid import UUID

from msgspec import Struct


class Mail(Struct, frozen=True, kw_only=True):
    """A mail to one address, made from a template with these values.

    `event_id` identifies the mail, so that a receiver can detect a repeated one.
    """

    template: str
    to: str
    event_id: UUID
    values: Mapping[str, str]


class Mailer(Protocol):
    async def send(self, mail: Mail) -> None:
        """Hand a mail to the mail server.

        Raises `ReactionFailed` if the server refuses this mail for good, `Unavailable` if the
        server is away or refuses all mail, and another error if a later try may succeed. No
        message holds an address.
        """
        ...
