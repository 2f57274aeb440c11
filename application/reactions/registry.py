"""The table of contents of all reactions; a new one is a file of its own and a line here."""

from typing import Final

from application.reactions.reaction import Reaction

REACTIONS: Final[tuple[Reaction, ...]] = ()
