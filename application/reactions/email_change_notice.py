"""The notice to the old address of a user whose address has changed."""

from typing import Final

from application.reactions.mail import Mail
from application.reactions.reaction import ReactionContext, reaction
from domain.email import comparable_address
from domain.event import ERASED, Recorded
from domain.user.events import UserEmailChanged

_NAME: Final = "email-change-notice"


@reaction(name=_NAME, types=[UserEmailChanged], opens=True, needs_mail=True)
async def email_change_notice(
    recorded: Recorded[UserEmailChanged], context: ReactionContext
) -> None:
    """Tells the old address that a user's address has changed.

    A thief of the account then does not go unnoticed. The mail does not say the new address: the old
    one may have been another person's, by a mistake that this change corrects.
    """
    email, previous = recorded.event.email, recorded.event.previous
    if email is ERASED or previous is ERASED:
        return
    if comparable_address(email) == comparable_address(previous.email):
        # Another spelling of the same address: mails go on to the same mailbox.
        return
    await context.mail.send(
        Mail(
            template=_NAME,
            to=previous.email,
            event_id=recorded.event_id,
            values={
                "user": str(recorded.stream),
                "changed_at": f"{recorded.recorded_at:%Y-%m-%d %H:%M} UTC",
            },
        )
    )
