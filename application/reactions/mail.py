"""The port that sends mail for reactions."""

from collections.abc import Mapping
from typing import Protocol
from uuid import UUID

from msgspec import Struct

from application.errors import ApplicationError, Unavailable


class Mail(Struct, frozen=True, kw_only=True):
    """A mail to one address, made from a template with these values.

    `event_id` identifies the mail, so that a receiver can detect a repeated one.
    """

    template: str
    to: str
    event_id: UUID
    values: Mapping[str, str]


class MailServerUnavailable(Unavailable):
    """The mail server is away, or refuses all mail."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)

    def __str__(self) -> str:
        return f"The mail server {self.reason}."


class MailDeferred(ApplicationError):
    """The mail server wants this mail again later, as with greylisting (RFC 6647), or its reply to
    the whole mail was lost.
    """

    def __init__(self, reply: str) -> None:
        self.reply = reply
        super().__init__(reply)

    def __str__(self) -> str:
        return f"The mail is not accepted yet: {self.reply}."


class Mailer(Protocol):
    async def send(self, mail: Mail) -> None:
        """Hand a mail to the mail server, within 30 s.

        Raises `ReactionFailed` if the server refuses this mail for good, `MailServerUnavailable`
        if the server is away or refuses all mail, and `MailDeferred` if this mail may be accepted
        some minutes later. No message holds an address or words of the server.
        """
        ...
