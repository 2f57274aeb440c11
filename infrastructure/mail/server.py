"""The mail server that takes the mails, and connections that are ready for one."""

import asyncio
import re
import socket
import ssl
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from typing import Final, Self, cast
from urllib.parse import unquote, urlsplit

from aiosmtplib import SMTP, SMTPException, SMTPResponseException

from application.reactions.mail import MailServerUnavailable
from application.reactions.sender import Sender
from infrastructure.mail.replies import refused_all

# In all, until the connection is ready; the mailer limits the rest.
_OPEN_SECONDS: Final = 20.0
_CONNECT_SECONDS: Final = 10.0
_REPLY_SECONDS: Final = 15.0
_PLAIN_PORT: Final = 25
_SUBMISSION_PORT: Final = 587
_TLS_PORT: Final = 465
# A host's name may hold what no command may (RFC 5321, section 4.1.2).
_HOST: Final = re.compile(r"[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*")


class MailServer:
    """How the server is reached. Its representation shows no password.

    An account is sent only under TLS with a valid certificate: with `smtp`, STARTTLS (RFC 3207) is
    then required. Without an account STARTTLS is used where it is offered, with any certificate:
    without it the mail would go in the clear (RFC 7435).
    """

    def __init__(
        self, host: str, port: int, account: tuple[str, str] | None, *, uses_tls: bool
    ) -> None:
        self._host = host
        self._port = port
        self._account = account
        self._uses_tls = uses_tls
        self._context = ssl.create_default_context()
        if account is None and not uses_tls:
            self._context.check_hostname = False
            self._context.verify_mode = ssl.CERT_NONE

    @classmethod
    def parse(cls, url: str) -> Self:
        """From a valid `ROLLBOOK_SMTP_URL`: `smtp://user:password@host:port` or `smtps://…`.

        Default ports: 465 with `smtps`, else 587 with an account and 25 without one.
        """
        parts = urlsplit(url)
        account = None
        if parts.username and parts.password:
            account = (unquote(parts.username), unquote(parts.password))
        uses_tls = parts.scheme == "smtps"
        default = _PLAIN_PORT if account is None else _SUBMISSION_PORT
        port = parts.port or (_TLS_PORT if uses_tls else default)
        return cls(parts.hostname or "", port, account, uses_tls=uses_tls)

    @asynccontextmanager
    async def connect(self) -> AsyncGenerator[SMTP]:
        """A connection that is ready for a mail. Raises `MailServerUnavailable`.

        At the end it is cut at once, even if the server reads nothing more.
        """
        client = SMTP(
            hostname=self._host,
            port=self._port,
            local_hostname=_local_name(),
            timeout=_REPLY_SECONDS,
            use_tls=self._uses_tls,
            start_tls=False,
            tls_context=self._context,
        )
        try:
            with server_failures():
                async with asyncio.timeout(_OPEN_SECONDS):
                    await self._open(client)
            yield client
        finally:
            if client.transport is not None:
                # Transports of uvloop have no common class with those of asyncio.
                cast(asyncio.Transport, client.transport).abort()
            client.close()

    async def _open(self, client: SMTP) -> None:
        try:
            await client.connect(timeout=_CONNECT_SECONDS)
            await client.ehlo()
            if not self._uses_tls and await self._starts_tls(client):
                await client.ehlo()
        except SMTPResponseException as error:
            raise refused_all(error, "connection") from None
        if self._account is None:
            return
        if not client.supported_auth_methods:
            raise MailServerUnavailable("offers no way to sign in that is known here")
        try:
            await client.login(*self._account)
        except SMTPResponseException as error:
            raise refused_all(error, "account") from None

    async def _starts_tls(self, client: SMTP) -> bool:
        if client.supports_extension("starttls"):
            await client.starttls()
            return True
        if self._account is not None:
            raise MailServerUnavailable(
                "offers no STARTTLS, and the account is sent only under TLS"
            )
        return False


async def begin_mail(client: SMTP, sender: Sender) -> None:
    """Name the sender of a mail. Raises `MailServerUnavailable`: no reply is about one mail."""
    with server_failures():
        try:
            await client.mail(sender.address)
        except SMTPResponseException as error:
            raise refused_all(error, "sender") from None


@contextmanager
def server_failures() -> Generator[None]:
    """Turn failures of the connection into `MailServerUnavailable`, without their words."""
    try:
        yield
    except TimeoutError:
        raise MailServerUnavailable("does not answer in time") from None
    except (SMTPException, OSError) as error:
        cause = error.__cause__ or error
        reason = f"cannot be reached ({type(cause).__name__})"
        if isinstance(cause, ssl.SSLCertVerificationError):
            reason = f"has no valid certificate (error {cause.verify_code})"
        raise MailServerUnavailable(reason) from None


def _local_name() -> str:
    """The name of this machine for the server's greeting; no DNS look-up, which may take long."""
    name = socket.gethostname()
    return name if _HOST.fullmatch(name) else "localhost"
