"""The welcome to a new user, with a link to the operator's own page."""

from typing import Final
from urllib.parse import urlsplit, urlunsplit
from uuid import UUID

from application.reactions.mail import Mail
from application.reactions.reaction import ReactionContext, reaction
from domain.event import ERASED, Recorded
from domain.user.events import UserRegistered

_NAME: Final = "welcome"
_PAGE: Final = "welcome_url"
_IMPORTS: Final = "welcome_imports"


@reaction(
    name=_NAME,
    types=[UserRegistered],
    opens=True,
    needs_mail=True,
    needs=(_PAGE,),
    skips_imports=True,
    imports_option=_IMPORTS,
)
async def welcome(recorded: Recorded[UserRegistered], context: ReactionContext) -> None:
    """Welcomes a new user with a link to the page of ROLLBOOK_WELCOME_URL."""
    name, email = recorded.event.name, recorded.event.email
    if name is ERASED or email is ERASED:
        return
    await context.mail.send(
        Mail(
            template=_NAME,
            to=email,
            event_id=recorded.event_id,
            values={
                "user": str(recorded.stream),
                "name": name,
                "link": link_to(context.options[_PAGE], recorded.stream),
            },
        )
    )


def link_to(page: str, user: UUID) -> str:
    """The page with `user=<id>` as the last parameter of its query.

    The id tells the page which user came, but proves nothing: everybody may make such a link.
    """
    parts = urlsplit(page)
    query = f"{parts.query}&user={user}" if parts.query else f"user={user}"
    return urlunsplit(parts._replace(query=query))
