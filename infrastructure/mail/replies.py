"""What the replies of a mail server mean (RFC 5321, section 4.2; RFC 3463)."""

import re
from typing import Final, Self

from aiosmtplib import SMTPResponseException
from msgspec import Struct

from application.reactions.mail import MailDeferred, MailServerUnavailable
from application.reactions.reaction import ReactionFailed

_ENHANCED: Final = re.compile(r"[245]\.\d{1,3}\.\d{1,3}(?!\S)")
_CLOSING: Final = 421
_SIGN_IN_NEEDED: Final = 530
# Policy, account and encryption; and a sender that the server does not accept. Many servers tell
# these only after the recipient (Postfix: smtpd_delay_reject).
_ABOUT_ALL_MAIL: Final = re.compile(r"5\.(7\.\d+|1\.[78])")


class Reply(Struct, frozen=True):
    """A reply without its words, which may repeat an address: `550` or `550 5.1.1`."""

    code: int
    enhanced: str = ""

    @classmethod
    def of(cls, error: SMTPResponseException) -> Self:
        found = _ENHANCED.match(error.message)
        return cls(error.code, found[0] if found else "")

    def __str__(self) -> str:
        return f"{self.code} {self.enhanced}".rstrip()

    @property
    def is_permanent(self) -> bool:
        return 500 <= self.code < 600

    @property
    def concerns_all_mail(self) -> bool:
        """Whether the server would answer the same to a mail for anybody else."""
        if self.is_permanent:
            refuses_all = _ABOUT_ALL_MAIL.fullmatch(self.enhanced) is not None
            return refuses_all or self.code == _SIGN_IN_NEEDED
        # Anything that is no reply to a mail, such as -1 for one that is not SMTP.
        return self.code == _CLOSING or not 400 <= self.code < 500


def refused_mail(error: SMTPResponseException, what: str) -> Exception:
    """What a reply to a recipient or a text means; `what` is the part that it is about."""
    reply = Reply.of(error)
    if reply.concerns_all_mail:
        return MailServerUnavailable(f"refuses mail ({reply})")
    if reply.is_permanent:
        return ReactionFailed(f"The mail server refuses the {what}: {reply}.")
    return MailDeferred(f"{reply} for the {what}")


def refused_all(error: SMTPResponseException, what: str) -> MailServerUnavailable:
    """What a reply before the recipient means: the mail could be for anybody."""
    return MailServerUnavailable(f"refuses the {what} ({Reply.of(error)})")
