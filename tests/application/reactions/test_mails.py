"""The two mails: which events cause them, to whom they go and what they say."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from application.reactions.email_change_notice import email_change_notice
from application.reactions.reaction import ReactionContext
from application.reactions.registry import REACTIONS
from application.reactions.sender import Sender
from application.reactions.welcome import link_to, welcome
from domain.event import ERASED, Event, Recorded
from domain.user.events import PreviousEmail, UserEmailChanged, UserRegistered
from infrastructure.mail.samples import SAMPLES
from tests.support.doubles.mailer import KeepingMailer

USER = UUID("0194f3c2-7a5e-7cc1-9d5e-3f2b8a6c1d40")
EVENT = UUID("0194f3c2-7a5e-7cc1-9d5e-3f2b8a6c1d41")
REGISTERED = UserRegistered(name="Grace Hopper", email="grace@example.com", role="member")
CHANGED = UserEmailChanged(email="new@example.com", previous=PreviousEmail(email="old@example.com"))


def recorded(event: Event) -> Recorded[Any]:
    return Recorded[Any](
        event=event,
        kind="user",
        stream=USER,
        version=2,
        position=7,
        event_id=EVENT,
        actor="token:1",
        on_behalf_of=None,
        correlation_id="c",
        causation_id=None,
        recorded_at=datetime(2026, 3, 1, 9, 17, 5, 123456, tzinfo=UTC),
    )


def context(mailer: KeepingMailer) -> ReactionContext:
    options = {"welcome_url": "https://example.org/welcome"}
    return ReactionContext(reaction="r", attempt=1, mail=mailer, options=options)


async def test_the_old_address_gets_the_notice_without_the_new_one() -> None:
    mailer = KeepingMailer()
    await email_change_notice.run(recorded(CHANGED), context(mailer))
    (mail,) = mailer.mails
    assert (mail.to, mail.event_id) == ("old@example.com", EVENT)
    assert mail.values == {"user": str(USER), "changed_at": "2026-03-01 09:17 UTC"}


async def test_another_spelling_of_the_same_address_causes_no_notice() -> None:
    mailer = KeepingMailer()
    changed = UserEmailChanged(
        email="Old@münchen.de", previous=PreviousEmail(email="old@xn--mnchen-3ya.de")
    )
    await email_change_notice.run(recorded(changed), context(mailer))
    assert mailer.mails == []


async def test_a_new_user_is_welcomed_by_name_with_the_link() -> None:
    mailer = KeepingMailer()
    await welcome.run(recorded(REGISTERED), context(mailer))
    (mail,) = mailer.mails
    assert (mail.to, mail.event_id) == ("grace@example.com", EVENT)
    link = f"https://example.org/welcome?user={USER}"
    assert mail.values == {"user": str(USER), "name": "Grace Hopper", "link": link}


@pytest.mark.parametrize(
    "event",
    [
        UserRegistered(name=ERASED, email=ERASED, role="member"),
        UserEmailChanged(email=ERASED, previous=ERASED),
    ],
)
async def test_an_erased_person_gets_no_mail(event: Event) -> None:
    mailer = KeepingMailer()
    for each in REACTIONS:
        if event.topic in each.types:
            await each.run(recorded(event), context(mailer))
    assert mailer.mails == []


@pytest.mark.parametrize("event", [REGISTERED, CHANGED])
async def test_each_mail_has_the_values_that_its_templates_may_use(event: Event) -> None:
    mailer = KeepingMailer()
    (found,) = [each for each in REACTIONS if event.topic in each.types]
    await found.run(recorded(event), context(mailer))
    (mail,) = mailer.mails
    assert mail.values.keys() == SAMPLES[mail.template].keys()


def test_the_reactions_are_off_without_what_they_need() -> None:
    needed = {each.name: (each.needs_mail, each.needs) for each in REACTIONS}
    assert needed == {"email-change-notice": (True, ()), "welcome": (True, ("welcome_url",))}
    assert welcome.skips_imports
    assert welcome.imports_option == "welcome_imports"


@pytest.mark.parametrize(
    ("page", "link"),
    [
        ("https://x.org", f"https://x.org?user={USER}"),
        ("https://x.org/a/", f"https://x.org/a/?user={USER}"),
        ("https://x.org/a?b=c&d", f"https://x.org/a?b=c&d&user={USER}"),
        ("https://x.org/a?b=c#/d", f"https://x.org/a?b=c&user={USER}#/d"),
    ],
)
def test_the_link_keeps_the_operators_query_and_fragment(page: str, link: str) -> None:
    assert link_to(page, USER) == link


@pytest.mark.parametrize(
    ("text", "sender"),
    [
        ("no-reply@example.org", Sender("", "no-reply@example.org")),
        ("Example <no-reply@example.org>", Sender("Example", "no-reply@example.org")),
        ('"Example, Ltd." <a@b.local>', Sender("Example, Ltd.", "a@b.local")),
        ("Grüße <post@münchen.de>", Sender("Grüße", "post@xn--mnchen-3ya.de")),
        ("root@localhost", Sender("", "root@localhost")),
    ],
)
def test_a_sender_is_a_name_and_an_ascii_address(text: str, sender: Sender) -> None:
    assert Sender.parse(text) == sender
    assert sender.shown == (sender.name or sender.domain)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        "@b.org",
        "a@",
        "a@b..org",
        "a b@c.org",
        "ü@b.org",
        "a@b.org, c@d.org",
        "a@b.org\r\nX: y",
    ],
)
def test_anything_else_is_no_sender(text: str) -> None:
    with pytest.raises(ValueError, match="must be an address like"):
        Sender.parse(text)
