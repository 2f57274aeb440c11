"""Builds what the API shows and changes of reactions: it runs none."""

from application.reactions.admin import ReactionAdmin
from application.reactions.registry import REACTIONS
from infrastructure.reactions.records import PostgresReactionRecords
from interfaces.composition.shared import Parts


def reaction_admin(parts: Parts) -> ReactionAdmin:
    """The operations of administrators on reactions."""
    return ReactionAdmin(REACTIONS, PostgresReactionRecords(parts.database), parts.doorbell)
