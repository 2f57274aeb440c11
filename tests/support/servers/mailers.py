"""Mailers and mails for tests."""

from pathlib import Path
from typing import Final
from uuid import UUID, uuid4

from application.reactions.mail import Mail
from application.reactions.sender import Sender
from infrastructure.mail.samples import SAMPLES
from infrastructure.mail.server import MailServer
from infrastructure.mail.smtp import SmtpMailer
from infrastructure.mail.templates import Templates

SENDER: Final = "Example <no-reply@example.org>"
GRACE: Final = "grace@example.com"


def mailer_to(
    url: str, *, sender: str = SENDER, templates: Path | None = None, mail_seconds: float = 5.0
) -> SmtpMailer:
    """A mailer like the one of a worker, for the mail server at this URL."""
    return SmtpMailer(
        MailServer.parse(url),
        Sender.parse(sender),
        Templates.read(templates),
        mail_seconds=mail_seconds,
    )


def welcome(to: str = GRACE, *, name: str = "Grace Hopper", event_id: UUID | None = None) -> Mail:
    """A welcome to a person."""
    return Mail(
        template="welcome",
        to=to,
        event_id=event_id or uuid4(),
        values={**SAMPLES["welcome"], "name": name},
    )
