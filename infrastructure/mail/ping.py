"""Whether the mail server takes mails, for readiness and `rollbook doctor`; no mail is sent."""

import asyncio
from contextlib import suppress
from time import monotonic
from typing import Final

from aiosmtplib import SMTPException

from application.reactions.mail import MailServerUnavailable
from application.reactions.sender import Sender
from infrastructure.mail.server import MailServer, begin_mail, server_failures

_CHECK_SECONDS: Final = 30.0
_END_SECONDS: Final = 1.0
# Servers limit connections, and each process that answers readiness asks by itself.
_KNOWN_SECONDS: Final = 60.0


async def check_mail_server(server: MailServer, sender: Sender) -> None:
    """Connect, sign in and name the sender. Raises `MailServerUnavailable`, within 30 s."""
    with server_failures():
        async with asyncio.timeout(_CHECK_SECONDS), server.connect() as client:
            await begin_mail(client, sender)
            with suppress(SMTPException, OSError):
                await client.rset(timeout=_END_SECONDS)
                await client.quit(timeout=_END_SECONDS)


class MailServerPing:
    """Checks the mail server at most once a minute; a result counts until the next one is there."""

    def __init__(
        self, server: MailServer, sender: Sender, *, known_seconds: float = _KNOWN_SECONDS
    ) -> None:
        self._server = server
        self._sender = sender
        self._known_seconds = known_seconds
        self._asking: asyncio.Task[MailServerUnavailable | None] | None = None
        self._asked_at = 0.0
        self._last: asyncio.Task[MailServerUnavailable | None] | None = None

    async def answers(self) -> None:
        """Returns if the server takes mails. Raises `MailServerUnavailable`.

        Only the first call waits for the server: it may take longer than readiness may.
        """
        if self._asking is None or (
            self._asking.done() and monotonic() > self._asked_at + self._known_seconds
        ):
            self._last = self._asking
            self._asked_at = monotonic()
            self._asking = asyncio.create_task(self._ask())
        known = self._asking if self._asking.done() or self._last is None else self._last
        # A caller that is cancelled does not end the check, which others wait for.
        if error := await asyncio.shield(known):
            raise MailServerUnavailable(error.reason)

    async def _ask(self) -> MailServerUnavailable | None:
        try:
            await check_mail_server(self._server, self._sender)
        except MailServerUnavailable as error:
            return error
        return None
