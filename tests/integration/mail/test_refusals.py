"""Each reply of a mail server means one thing: give up, try later, or the server takes no mail."""

import pytest

from application.reactions.mail import MailDeferred, MailServerUnavailable
from application.reactions.reaction import ReactionFailed
from tests.support.servers.mail import MailReceiver
from tests.support.servers.mailers import GRACE, mailer_to, welcome

OTHER = "other@example.com"


def quiet(error: BaseException) -> str:
    """The error's text; it repeats neither an address nor a word of the server."""
    text = str(error)
    assert "grace" not in text
    assert "Hopper" not in text
    assert "words" not in text
    return text


@pytest.mark.parametrize(
    ("reply", "shown"),
    [
        (f"550 5.1.1 <{GRACE}>: words", "550 5.1.1"),
        ("550 words", "550"),
        ("552 5.2.2 words, the mailbox is full", "552 5.2.2"),
        (f"553 5.1.{GRACE} words", "553"),
    ],
)
@pytest.mark.parametrize(("stage", "what"), [(GRACE, "recipient"), ("DATA", "text")])
async def test_a_refused_mail_fails_for_good(
    receiver: MailReceiver, stage: str, what: str, reply: str, shown: str
) -> None:
    receiver.replies[stage] = [reply]
    mailer = mailer_to(receiver.url)
    with pytest.raises(ReactionFailed) as failed:
        await mailer.send(welcome())
    assert quiet(failed.value) == f"The mail server refuses the {what}: {shown}."


async def test_one_refused_recipient_holds_up_nobody_else(receiver: MailReceiver) -> None:
    receiver.replies[GRACE] = ["550 5.1.1 words"]
    mailer = mailer_to(receiver.url)
    with pytest.raises(ReactionFailed):
        await mailer.send(welcome())
    await mailer.send(welcome(OTHER))
    assert [mail.to for mail in receiver.mails] == [OTHER]


@pytest.mark.parametrize("stage", [GRACE, "DATA"])
async def test_a_greylisted_mail_is_accepted_later(receiver: MailReceiver, stage: str) -> None:
    receiver.replies[stage] = [f"451 4.7.1 <{GRACE}>: words", "450 words", "250 OK"]
    mailer = mailer_to(receiver.url)
    for shown in ("451 4.7.1", "450"):
        with pytest.raises(MailDeferred, match=shown) as deferred:
            await mailer.send(welcome())
        quiet(deferred.value)
        await mailer.send(welcome(OTHER)) if stage == GRACE else None
    await mailer.send(welcome())
    assert len(receiver.mails_to(GRACE)) == 1


@pytest.mark.parametrize(
    ("stage", "reply"),
    [
        ("MAIL", "550 5.7.1 words"),
        ("MAIL", "451 4.3.0 words"),
        ("MAIL", "421 4.3.2 words"),
        (GRACE, "421 4.7.0 words"),
        # Postfix tells after the recipient that it refuses the client, its account or the sender.
        (GRACE, f"554 5.7.1 <{GRACE}>: words"),
        (GRACE, "530 5.7.0 words"),
        (GRACE, "530 words"),
        (GRACE, "553 5.1.8 words"),
        ("DATA", "550 5.7.26 words"),
    ],
)
async def test_a_server_that_takes_no_mail_is_an_outage_and_parks_nobody(
    receiver: MailReceiver, stage: str, reply: str
) -> None:
    receiver.replies[stage] = [reply]
    with pytest.raises(MailServerUnavailable) as away:
        await mailer_to(receiver.url).send(welcome())
    assert reply.removesuffix("words").removesuffix(f"<{GRACE}>: ").strip() in quiet(away.value)
    assert receiver.mails == []


async def test_a_refusal_of_smtputf8_is_about_one_mail(
    receiver: MailReceiver,
) -> None:
    receiver.replies["MAIL"] = ["555 words", "250 OK"]
    mailer = mailer_to(receiver.url)
    with pytest.raises(ReactionFailed, match="555"):
        await mailer.send(welcome("gräce@example.com"))
    await mailer.send(welcome())
    assert len(receiver.mails) == 1


async def test_a_reply_that_is_no_smtp_is_an_outage(receiver: MailReceiver) -> None:
    receiver.replies[GRACE] = ["words only"]
    with pytest.raises(MailServerUnavailable) as away:
        await mailer_to(receiver.url).send(welcome())
    quiet(away.value)
