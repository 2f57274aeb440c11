"""The mailer: hands each mail to the mail server, over a connection of its own."""

import asyncio
from collections.abc import Callable, Generator
from contextlib import AsyncExitStack, contextmanager, suppress
from datetime import UTC, datetime
from typing import Final

from aiosmtplib import SMTP, SMTPException, SMTPResponseException

from application.reactions.mail import Mail, MailDeferred
from application.reactions.reaction import ReactionFailed
from application.reactions.sender import Sender
from infrastructure.mail.message import compose, mailbox
from infrastructure.mail.replies import refused_mail
from infrastructure.mail.server import MailServer, begin_mail, server_failures
from infrastructure.mail.templates import Templates, WrongTemplate

_MAIL_SECONDS: Final = 30.0
_QUIT_SECONDS: Final = 1.0
_NO_SMTPUTF8: Final = (
    "The mail server takes no address with characters outside ASCII: it offers no SMTPUTF8."
)
_NO_ADDRESS: Final = "The address cannot be written in a mail."


def _now() -> datetime:
    return datetime.now(UTC)


class SmtpMailer:
    """Sends mails from one sender.

    If the reply to the text of a mail is lost, nobody knows whether the server has it: the next
    run of the reaction sends it again, with the same `Message-ID`.
    """

    def __init__(
        self,
        server: MailServer,
        sender: Sender,
        templates: Templates,
        *,
        mail_seconds: float = _MAIL_SECONDS,
        now: Callable[[], datetime] = _now,
    ) -> None:
        self._server = server
        self._sender = sender
        self._templates = templates
        self._mail_seconds = mail_seconds
        self._now = now

    async def send(self, mail: Mail) -> None:
        """Hand a mail to the server: see `Mailer`."""
        try:
            to = mailbox(mail.to)
        except ValueError:
            raise ReactionFailed(_NO_ADDRESS) from None
        content = self._compose(mail, to)
        deadline = asyncio.get_running_loop().time() + self._mail_seconds
        async with AsyncExitStack() as stack:
            with server_failures():
                async with asyncio.timeout_at(deadline):
                    client = await stack.enter_async_context(self._server.connect())
                    await self._begin(client, to)
                    await _name_recipient(client, to)
            with _lost_replies():
                async with asyncio.timeout_at(deadline):
                    await _send_text(client, content, self._mail_seconds)
            # The server has the mail: nothing that happens from here on may repeat it.
            with suppress(SMTPException, OSError):
                await client.quit(timeout=_QUIT_SECONDS)

    def _compose(self, mail: Mail, to: str) -> bytes:
        try:
            says = self._templates.render(
                mail.template, {"sender": self._sender.shown, **mail.values}
            )
        except WrongTemplate as error:
            raise ReactionFailed(f"The template {error}.") from None
        return compose(mail, says, self._sender, to, self._now())

    async def _begin(self, client: SMTP, to: str) -> None:
        if to.isascii():
            await begin_mail(client, self._sender)
            return
        if not client.supports_extension("smtputf8"):
            raise ReactionFailed(_NO_SMTPUTF8)
        try:
            await client.mail(self._sender.address, options=["BODY=8BITMIME", "SMTPUTF8"])
        except SMTPResponseException as error:
            # This is about the recipient's address: other mails go without SMTPUTF8.
            raise refused_mail(error, "address with characters outside ASCII") from None


async def _name_recipient(client: SMTP, to: str) -> None:
    try:
        await client.rcpt(to, encoding="utf-8")
    except ValueError:
        raise ReactionFailed(_NO_ADDRESS) from None
    except SMTPResponseException as error:
        raise refused_mail(error, "recipient") from None


async def _send_text(client: SMTP, content: bytes, seconds: float) -> None:
    try:
        # Servers look for viruses before they reply.
        await client.data(content, timeout=seconds)
    except SMTPResponseException as error:
        raise refused_mail(error, "text") from None


@contextmanager
def _lost_replies() -> Generator[None]:
    """The server may have the mail. So this counts as a try: else a server that always replies too
    late would get the mail again and again for a day.
    """
    try:
        yield
    except TimeoutError:
        raise MailDeferred("no reply to the text in time") from None
    except (SMTPException, OSError) as error:
        raise MailDeferred(f"no reply to the text ({type(error).__name__})") from None
