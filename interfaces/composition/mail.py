"""Builds the mailer and its checks from the settings."""

from application.reactions.mail import MailServerUnavailable
from application.reactions.sender import Sender
from infrastructure.mail.ping import MailServerPing, check_mail_server
from infrastructure.mail.server import MailServer
from infrastructure.mail.smtp import SmtpMailer
from infrastructure.mail.templates import Templates, WrongTemplate
from interfaces.settings import Settings, WrongSetting, variable


def mailer_of(settings: Settings) -> SmtpMailer | None:
    """The mailer; None if no mail server is set. Raises `WrongSetting` for a broken template."""
    templates = _templates(settings)
    server = _server(settings)
    return None if server is None else SmtpMailer(*server, templates)


def mail_ping_of(settings: Settings) -> MailServerPing | None:
    """The check of readiness; None if no mail server is set."""
    server = _server(settings)
    return None if server is None else MailServerPing(*server)


async def examine_mail(settings: Settings) -> list[str]:
    """What `rollbook doctor` says about mail; sends none. Raises `WrongSetting`."""
    templates = _templates(settings)
    server = _server(settings)
    if server is None:
        return ["no mail is sent: ROLLBOOK_SMTP_URL is not set"]
    found = [f"no mail uses the template {path}: is its name right?" for path in templates.unused]
    if settings.welcome_url is None:
        found.append("new users get no welcome mail: ROLLBOOK_WELCOME_URL is not set")
    try:
        await check_mail_server(*server)
    except MailServerUnavailable as error:
        return [*found, f"mails wait: {error}"]
    return [*found, "the mail server takes mails"]


def _server(settings: Settings) -> tuple[MailServer, Sender] | None:
    if settings.smtp_url is None or settings.smtp_from is None:
        return None
    server = MailServer.parse(settings.smtp_url.get_secret_value())
    return server, Sender.parse(settings.smtp_from)


def _templates(settings: Settings) -> Templates:
    try:
        return Templates.read(settings.templates)
    except WrongTemplate as error:
        raise WrongSetting(variable("templates"), str(error)) from None
