"""The table of contents of all reactions; a new one is a file of its own and a line here."""

from typing import Final

from application.reactions.email_change_notice import email_change_notice
from application.reactions.reaction import Reaction
from application.reactions.welcome import welcome

REACTIONS: Final[tuple[Reaction, ...]] = (
    email_change_notice,
    welcome,
)
