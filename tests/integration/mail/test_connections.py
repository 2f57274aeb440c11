"""Connections: TLS and accounts, and servers that are away, hang or cut the connection."""

import asyncio
import socket
import time
from pathlib import Path
from typing import Final

import pytest

from application.reactions.mail import MailDeferred, MailServerUnavailable
from application.reactions.sender import Sender
from infrastructure.mail.ping import MailServerPing, check_mail_server
from infrastructure.mail.server import MailServer
from tests.support.servers.mail import DROP, HANG, HOST, MailReceiver, make_certificate
from tests.support.servers.mailers import GRACE, SENDER, mailer_to, welcome

# The receiver is asked to, in order to see that the mailer never does.
pytestmark = pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")

ACCOUNT: Final = ("rollbook@example.org", "pass:word")
URL_ACCOUNT: Final = "rollbook%40example.org:pass%3Aword"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_certificate(tmp_path_factory.mktemp("mail") / "mail.pem")


@pytest.fixture
def trusted(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The certificate is one of this machine's authorities."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    return certificate


def url(receiver: MailReceiver, account: str = URL_ACCOUNT) -> str:
    return f"smtp://{account}@{HOST}:{receiver.port}"


async def test_an_account_is_sent_after_starttls(trusted: Path) -> None:
    with MailReceiver(account=ACCOUNT, certificate=trusted).running() as receiver:
        await mailer_to(url(receiver)).send(welcome())
        assert len(receiver.mails) == 1


async def test_an_account_is_sent_over_tls(trusted: Path) -> None:
    server = MailReceiver(account=ACCOUNT, certificate=trusted, tls_from_start=True)
    with server.running() as receiver:
        await mailer_to(url(receiver).replace("smtp:", "smtps:")).send(welcome())
        assert len(receiver.mails) == 1


async def test_a_wrong_password_is_an_outage_that_shows_neither(trusted: Path) -> None:
    with MailReceiver(account=ACCOUNT, certificate=trusted).running() as receiver:
        mailer = mailer_to(url(receiver, "rollbook%40example.org:wrong-one"))
        with pytest.raises(MailServerUnavailable) as away:
            await mailer.send(welcome())
        assert str(away.value) == "The mail server refuses the account (535 5.7.8)."
        assert "wrong-one" not in repr(mailer)
        assert receiver.seen["MAIL"] == 0


async def test_an_account_is_never_sent_without_tls(receiver: MailReceiver) -> None:
    with pytest.raises(MailServerUnavailable, match="offers no STARTTLS"):
        await mailer_to(url(receiver)).send(welcome())


async def test_an_account_needs_a_server_that_offers_to_sign_in(trusted: Path) -> None:
    with MailReceiver(certificate=trusted, signs_in=False).running() as receiver:
        with pytest.raises(MailServerUnavailable, match="offers no way to sign in"):
            await mailer_to(url(receiver)).send(welcome())


@pytest.mark.parametrize("tls_from_start", [False, True])
async def test_an_account_is_never_sent_to_a_server_without_a_valid_certificate(
    certificate: Path, tls_from_start: bool
) -> None:
    server = MailReceiver(account=ACCOUNT, certificate=certificate, tls_from_start=tls_from_start)
    with server.running() as receiver:
        scheme = "smtps" if tls_from_start else "smtp"
        mailer = mailer_to(url(receiver).replace("smtp", scheme, 1))
        with pytest.raises(MailServerUnavailable, match="has no valid certificate"):
            await mailer.send(welcome())


async def test_without_an_account_any_certificate_is_better_than_none(certificate: Path) -> None:
    with MailReceiver(certificate=certificate).running() as receiver:
        await mailer_to(receiver.url).send(welcome())
        assert len(receiver.mails) == 1


async def test_a_server_that_is_away_is_an_outage() -> None:
    with socket.create_server((HOST, 0)) as unused:
        port = unused.getsockname()[1]
    with pytest.raises(
        MailServerUnavailable, match=r"cannot be reached \(ConnectionRefusedError\)"
    ):
        await mailer_to(f"smtp://{HOST}:{port}").send(welcome())
    with pytest.raises(MailServerUnavailable, match="cannot be reached"):
        await mailer_to("smtp://no-such-host.invalid").send(welcome())


async def test_a_server_that_never_greets_holds_a_mail_for_a_bounded_time() -> None:
    with socket.create_server((HOST, 0)) as silent:
        mailer = mailer_to(f"smtp://{HOST}:{silent.getsockname()[1]}", mail_seconds=0.3)
        began = time.monotonic()
        with pytest.raises(MailServerUnavailable, match="does not answer in time"):
            await mailer.send(welcome())
        assert time.monotonic() - began < 2


@pytest.mark.parametrize("stage", ["MAIL", GRACE])
async def test_a_server_that_hangs_holds_only_its_mail(receiver: MailReceiver, stage: str) -> None:
    receiver.replies[stage] = [HANG, "250 OK"]
    mailer = mailer_to(receiver.url, mail_seconds=0.5)
    hanging = asyncio.create_task(mailer.send(welcome()))
    async with asyncio.timeout(5):
        while not receiver.seen[stage]:
            await asyncio.sleep(0.01)
    await mailer.send(welcome("other@example.com"))
    assert not hanging.done()
    with pytest.raises(MailServerUnavailable, match="does not answer in time"):
        await hanging


@pytest.mark.parametrize(
    ("reply", "shown"), [(HANG, "no reply to the text in time"), (DROP, "no reply to the text")]
)
async def test_a_lost_reply_to_the_text_counts_as_a_try(
    receiver: MailReceiver, reply: str, shown: str
) -> None:
    """Else a server that accepts each mail too late would get it again for a day."""
    receiver.replies["DATA"] = [reply, "250 OK"]
    mailer, mail = mailer_to(receiver.url, mail_seconds=0.5), welcome()
    with pytest.raises(MailDeferred, match=shown):
        await mailer.send(mail)
    await mailer.send(mail)
    assert len(receiver.mails) == 1


@pytest.mark.parametrize("stage", ["MAIL", GRACE])
async def test_a_cut_connection_is_an_outage(receiver: MailReceiver, stage: str) -> None:
    receiver.replies[stage] = [DROP]
    with pytest.raises(MailServerUnavailable, match="cannot be reached"):
        await mailer_to(receiver.url).send(welcome())


async def test_a_mail_that_is_accepted_succeeds_whatever_follows() -> None:
    """The server cuts the connection instead of the reply to QUIT."""

    class Cutting(MailReceiver):
        async def handle_QUIT(self, server: object, *_: object) -> str:  # noqa: N802
            return await self._reply("QUIT", server)  # type: ignore[arg-type]

    with Cutting().running() as receiver:
        for reply in (DROP, HANG):
            receiver.replies["QUIT"] = [reply]
            await mailer_to(receiver.url, mail_seconds=1.5).send(welcome())
        assert len(receiver.mails) == 2


async def test_a_check_sends_nothing_and_says_what_is_wrong(receiver: MailReceiver) -> None:
    server, sender = MailServer.parse(receiver.url), Sender.parse(SENDER)
    await check_mail_server(server, sender)
    assert (receiver.seen["MAIL"], receiver.seen[GRACE], receiver.mails) == (1, 0, [])
    receiver.replies["MAIL"] = ["550 5.7.1 words"]
    with pytest.raises(MailServerUnavailable, match=r"refuses the sender \(550 5\.7\.1\)"):
        await check_mail_server(server, sender)


async def test_readiness_asks_once_a_minute_and_waits_only_for_the_first_answer(
    receiver: MailReceiver,
) -> None:
    ping = MailServerPing(MailServer.parse(receiver.url), Sender.parse(SENDER), known_seconds=0.05)
    await ping.answers()
    await ping.answers()
    assert receiver.seen["connection"] == 1
    receiver.replies["MAIL"] = [HANG]
    await asyncio.sleep(0.06)
    async with asyncio.timeout(1):
        for _ in range(3):
            # The next check hangs; the last result counts.
            await ping.answers()
            await asyncio.sleep(0.05)
    assert receiver.seen["connection"] == 2
