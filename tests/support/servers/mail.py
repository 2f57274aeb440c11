"""A real mail server on loopback that accepts, refuses, greylists, hangs and drops as told."""

import asyncio
import ssl
import threading
from collections import Counter
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any, Final, cast

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from msgspec import Struct

HOST: Final = "127.0.0.1"
HANG: Final = "hang"
DROP: Final = "drop"
_OK: Final = "250 OK"


class ReceivedMail(Struct, frozen=True):
    """`options` are those of MAIL FROM."""

    sender: str
    to: str
    options: tuple[str, ...]
    message: EmailMessage

    def text(self, kind: str = "plain") -> str:
        """The text part, or the `html` part."""
        part = self.message.get_body((kind,))
        assert part is not None
        return part.get_content().replace("\r\n", "\n")


class MailReceiver:
    """A mail server in a thread of its own.

    `replies` has what it says at a stage (`MAIL`, the recipient's address, `DATA`, or `ACCEPTED`,
    when it has the mail already): the first reply is used up each time until one is left. `HANG`
    replies only after `release`, `DROP` cuts the connection.
    """

    def __init__(
        self,
        *,
        account: tuple[str, str] | None = None,
        certificate: Path | None = None,
        tls_from_start: bool = False,
        smtputf8: bool = True,
        signs_in: bool = True,
    ) -> None:
        self.mails: list[ReceivedMail] = []
        self.replies: dict[str, list[str]] = {}
        self.seen: Counter[str] = Counter()
        self.port = 0
        self._account = account
        self._context = None if certificate is None else server_context(certificate)
        self._tls_from_start = tls_from_start
        self._smtputf8 = smtputf8
        self._excluded = [] if signs_in else ["LOGIN", "PLAIN"]
        self._loop = asyncio.new_event_loop()
        self._released = asyncio.Event()

    @property
    def url(self) -> str:
        """The `ROLLBOOK_SMTP_URL` of this server."""
        scheme = "smtps" if self._tls_from_start else "smtp"
        account = "" if self._account is None else ":".join(self._account) + "@"
        return f"{scheme}://{account}{HOST}:{self.port}"

    @contextmanager
    def running(self) -> Generator["MailReceiver"]:
        started = threading.Event()
        thread = threading.Thread(target=self._run, args=(started,))
        thread.start()
        try:
            assert started.wait(10)
            yield self
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            thread.join(10)

    def release(self) -> None:
        """Let what hangs go on: it is accepted."""
        self._loop.call_soon_threadsafe(self._released.set)

    def mails_to(self, address: str) -> list[ReceivedMail]:
        return [mail for mail in self.mails if mail.to == address]

    # What aiosmtpd calls.

    async def handle_MAIL(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        del session
        reply = await self._reply("MAIL", server)
        if reply == _OK:
            envelope.mail_from = address
            envelope.mail_options.extend(options)
        return reply

    async def handle_RCPT(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        del session, options
        reply = await self._reply(address, server)
        if reply == _OK:
            envelope.rcpt_tos.append(address)
        return reply

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        del session
        reply = await self._reply("DATA", server)
        if reply.startswith("2"):
            assert isinstance(envelope.content, bytes)
            message = message_from_bytes(envelope.content, policy=policy.SMTPUTF8)
            assert isinstance(message, EmailMessage)
            options = tuple(envelope.mail_options)
            for to in envelope.rcpt_tos:
                self.mails.append(ReceivedMail(envelope.mail_from or "", to, options, message))
            return await self._reply("ACCEPTED", server)
        return reply

    async def _reply(self, stage: str, server: SMTP) -> str:
        self.seen[stage] += 1
        replies = self.replies.get(stage, [_OK])
        reply = replies.pop(0) if len(replies) > 1 else replies[0]
        if reply == HANG:
            await self._released.wait()
            return _OK
        if reply == DROP:
            cast(asyncio.Transport, server.transport).abort()
        return reply

    def _authenticate(
        self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any
    ) -> AuthResult:
        del server, session, envelope, mechanism
        assert isinstance(data, LoginPassword)
        given = (data.login.decode(), data.password.decode())
        return AuthResult(success=given == self._account, handled=False)

    def _session(self) -> SMTP:
        self.seen["connection"] += 1
        starts_tls = None if self._tls_from_start else self._context
        return SMTP(
            self,
            loop=self._loop,
            hostname="mail.example.org",
            tls_context=starts_tls,
            authenticator=self._authenticate if self._account else None,
            auth_required=self._account is not None,
            auth_require_tls=not self._tls_from_start,
            auth_exclude_mechanism=self._excluded,
            enable_SMTPUTF8=self._smtputf8,
        )

    def _run(self, started: threading.Event) -> None:
        asyncio.set_event_loop(self._loop)
        context = self._context if self._tls_from_start else None
        serving = self._loop.create_server(self._session, HOST, 0, ssl=context)
        server = self._loop.run_until_complete(serving)
        self.port = server.sockets[0].getsockname()[1]
        self._loop.call_soon(started.set)
        self._loop.run_forever()
        server.close()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0.01))
        self._loop.close()


def make_certificate(path: Path) -> Path:
    """A certificate of its own authority for 127.0.0.1, with its key, in one PEM file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, HOST)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(IPv4Address(HOST))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    plain = serialization.NoEncryption()
    form = serialization.PrivateFormat.PKCS8
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, form, plain)
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    return path


def server_context(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


def mail_settings(
    receiver: MailReceiver, sender: str = "Example <no-reply@example.org>"
) -> Mapping[str, str]:
    """The settings of a Rollbook that sends mails by this server."""
    return {"ROLLBOOK_SMTP_URL": receiver.url, "ROLLBOOK_SMTP_FROM": sender}
