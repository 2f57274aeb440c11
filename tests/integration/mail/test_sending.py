"""A mail arrives with the headers, parts and addresses that it should have, whatever the values."""

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from application.reactions.reaction import ReactionFailed
from tests.support.servers.mail import MailReceiver
from tests.support.servers.mailers import GRACE, mailer_to, welcome


async def test_a_mail_has_both_parts_and_the_events_id(receiver: MailReceiver) -> None:
    event_id = uuid4()
    await mailer_to(receiver.url).send(welcome(event_id=event_id))
    (mail,) = receiver.mails
    assert (mail.sender, mail.to) == ("no-reply@example.org", GRACE)
    headers = mail.message
    assert headers["Message-ID"] == f"<{event_id}.welcome@example.org>"
    assert headers["From"] == "Example <no-reply@example.org>"
    assert headers["To"] == GRACE
    assert headers["Subject"] == "Welcome to Example"
    assert headers["Auto-Submitted"] == "auto-generated"
    assert abs(headers["Date"].datetime - datetime.now(UTC)) < timedelta(minutes=1)
    assert headers.get_content_type() == "multipart/alternative"
    assert "Hello Grace Hopper," in mail.text()
    link = "https://example.org/welcome?user=0194f3c2-7a5e-7cc1-9d5e-3f2b8a6c1d40"
    assert f"\n{link}\n" in mail.text()
    assert f'<a href="{link}">' in mail.text("html")


async def test_a_repeated_mail_has_the_same_id(receiver: MailReceiver) -> None:
    mailer, mail = mailer_to(receiver.url), welcome()
    await mailer.send(mail)
    await mailer.send(mail)
    first, second = receiver.mails
    assert first.message["Message-ID"] == second.message["Message-ID"]


async def test_mails_are_sent_at_once_over_connections_of_their_own(receiver: MailReceiver) -> None:
    mailer = mailer_to(receiver.url)
    await asyncio.gather(*(mailer.send(welcome(f"u{n}@example.com")) for n in range(20)))
    assert {mail.to for mail in receiver.mails} == {f"u{n}@example.com" for n in range(20)}


@pytest.mark.parametrize("name", ["Gräce Höpper", "グレース・ホッパー", "נועה", "O'Hara & <Söhne>"])
async def test_names_of_every_script_arrive(receiver: MailReceiver, name: str) -> None:
    await mailer_to(receiver.url, sender=f'"{name}" <no-reply@example.org>').send(
        welcome(name=name)
    )
    (mail,) = receiver.mails
    assert f"Hello {name}," in mail.text()
    assert mail.message["Subject"] == f"Welcome to {name}"
    assert mail.message["From"].addresses[0].display_name == name
    assert name.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace(
        "'", "&#39;"
    ) in mail.text("html")


HOSTILE = [
    "Grace\r\nBcc: other@example.com",
    "Grace\n\nnew body",
    "Grace\u2028Bcc: other@example.com",
    "Grace\x00\x1b[2J",
    "Grace\r\n.\r\nMAIL FROM:<other@example.com>",
    "half \ud83d",
    "=?utf-8?q?=0D=0ABcc:_other=40example.com?=",
    "x" * 5_000,
]


@pytest.mark.parametrize("name", HOSTILE)
async def test_no_value_adds_a_header_or_a_recipient(receiver: MailReceiver, name: str) -> None:
    """In the text, and in the subject, which has the sender's name here."""
    mailer = mailer_to(receiver.url)
    await mailer.send(welcome(name="Grace"))
    mail = welcome(name=name)
    await mailer.send(
        type(mail)(
            template=mail.template,
            to=mail.to,
            event_id=mail.event_id,
            values={**mail.values, "sender": name},
        )
    )
    plain, hostile = receiver.mails
    assert hostile.to == plain.to
    assert hostile.message.keys() == plain.message.keys()
    assert len(list(hostile.message.iter_parts())) == 2
    assert "Begin here:" in hostile.text()


async def test_a_value_is_neither_markup_nor_template_code(receiver: MailReceiver) -> None:
    name = '<a href="https://bad.example">{{ sender }}{% for x in y %}</a>'
    await mailer_to(receiver.url).send(welcome(name=name))
    (mail,) = receiver.mails
    assert f"Hello {name}," in mail.text()
    assert "<a href=&#34;" not in mail.text("html")
    assert "&lt;a href=" in mail.text("html")
    assert "{{ sender }}" in mail.text("html")


async def test_a_domain_outside_ascii_needs_no_extension_of_the_server() -> None:
    with MailReceiver(smtputf8=False).running() as receiver:
        mailer = mailer_to(receiver.url, sender="Grüße <post@münchen.example>")
        await mailer.send(welcome("grace@例子.example"))
        (mail,) = receiver.mails
        assert mail.to == "grace@xn--fsqu00a.example"
        assert mail.sender == "post@xn--mnchen-3ya.example"
        assert mail.message["To"] == "grace@xn--fsqu00a.example"


async def test_an_address_outside_ascii_uses_smtputf8(receiver: MailReceiver) -> None:
    mailer = mailer_to(receiver.url)
    await mailer.send(welcome("grâce@例子.example"))
    await mailer.send(welcome())
    outside, plain = receiver.mails
    assert outside.to == "grâce@xn--fsqu00a.example"
    assert outside.message["To"] == "grâce@xn--fsqu00a.example"
    assert "SMTPUTF8" in outside.options
    assert plain.options == ()


async def test_an_address_outside_ascii_fails_for_good_without_smtputf8() -> None:
    with MailReceiver(smtputf8=False).running() as receiver:
        mailer = mailer_to(receiver.url)
        with pytest.raises(ReactionFailed, match="offers no SMTPUTF8") as failed:
            await mailer.send(welcome("grâce@example.com"))
        assert "grâce" not in str(failed.value)
        await mailer.send(welcome())
        assert [mail.to for mail in receiver.mails] == [GRACE]


@pytest.mark.parametrize("address", ["grace@example.com>\r\nRCPT TO:<b@x", "a b@example.com", "a@"])
async def test_an_address_that_cannot_be_written_reaches_nobody(
    receiver: MailReceiver, address: str
) -> None:
    with pytest.raises(ReactionFailed) as failed:
        await mailer_to(receiver.url).send(welcome(address))
    assert address not in str(failed.value)
    assert receiver.mails == []
