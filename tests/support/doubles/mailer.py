"""A mailer for tests that keeps the mails instead of sending them."""

from application.reactions.mail import Mail


class KeepingMailer:
    """See `Mailer`."""

    def __init__(self) -> None:
        self.mails: list[Mail] = []

    async def send(self, mail: Mail) -> None:
        self.mails.append(mail)
