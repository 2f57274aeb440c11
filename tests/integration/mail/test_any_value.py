"""Whatever the values are, a mail has the same headers and parts, and its receivers read it whole."""

import unicodedata
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage

from hypothesis import example, given, settings
from hypothesis import strategies as st

from application.reactions.mail import Mail
from application.reactions.sender import Sender
from infrastructure.mail.message import compose
from infrastructure.mail.templates import Templates
from tests.support.servers.mailers import GRACE, welcome
from tests.support.servers.postgres import scaled

TEMPLATES = Templates.read()
SENDER = Sender("Example", "no-reply@example.org")
HEADERS = [
    "From",
    "To",
    "Subject",
    "Date",
    "Message-ID",
    "Auto-Submitted",
    "MIME-Version",
    "Content-Type",
]

HIDDEN = {"Cc", "Cs", "Zl", "Zp", "Zs"}

words = st.sampled_from(
    ["=?utf-8?q?", "=0D=0A", "?=", "\r\n", "Bcc: b@example.com", " ", "\n\n", "--=="]
)
values = st.one_of(st.text(max_size=300), st.lists(words, max_size=12).map("".join))


def squeezed(text: str) -> str:
    """The text without spaces and what no header can hold."""
    return "".join(each for each in text if unicodedata.category(each) not in HIDDEN).replace(
        " ", ""
    )


def written(mail: Mail, sender: Sender) -> EmailMessage:
    says = TEMPLATES.render(mail.template, {"sender": sender.shown, **mail.values})
    content = compose(mail, says, sender, GRACE, datetime(2026, 3, 1, tzinfo=UTC))
    assert content.isascii()
    assert max(len(line) for line in content.split(b"\r\n")) < 998
    message = message_from_bytes(content, policy=policy.SMTP)
    assert isinstance(message, EmailMessage)
    return message


@settings(max_examples=scaled(60), deadline=None)
@given(name=values, sender=values, link=values)
@example(name="=?utf-8?q?=0D=0ABcc:_b=40example.com?=", sender="=?utf-8?b?DQpCY2M6IGE=?=", link="")
@example(name="", sender="=\r\n?utf-8?q?=0D=0ABcc:_b?=", link="")
@example(name="", sender="=\x00?utf-8?q?=0D=0ABcc:_b?=", link="")
@example(name="\u2028" * 50, sender="\ud800\udfff", link="\x00")
def test_a_mail_has_its_headers_and_parts_whatever_it_says(
    name: str, sender: str, link: str
) -> None:
    mail = welcome(name=name)
    mail = Mail(
        template=mail.template,
        to=mail.to,
        event_id=mail.event_id,
        values={**mail.values, "name": name, "link": link, "sender": sender},
    )
    message = written(mail, Sender(sender, SENDER.address))
    assert list(message.keys()) == HEADERS
    assert [each.addr_spec for each in message["From"].addresses] == [SENDER.address]
    assert [each.addr_spec for each in message["To"].addresses] == [GRACE]
    assert squeezed(message["Subject"]) == squeezed(f"Welcome to {sender}")
    assert squeezed(message["From"].addresses[0].display_name) == squeezed(sender)
    parts = list(message.iter_parts())
    assert [part.get_content_type() for part in parts] == ["text/plain", "text/html"]
    assert "you can ignore it." in parts[0].get_content()
    assert parts[1].get_content().rstrip().endswith("</html>")
