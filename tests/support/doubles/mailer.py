"""A mailer for tests that keeps the mails instead of sending them."""

from application.reactions.mail import Mail


class KeepingMailer:
    """See `Mailer`; `error` is raised instead, as long as it is set."""

    def __init__(self) -> None:
        self.mails: list[Mail] = []
        self.error: Exception | None = None

    async def send(self, mail: Mail) -> None:
        if self.error is not None:
            raise self.error
        self.mails.append(mail)
