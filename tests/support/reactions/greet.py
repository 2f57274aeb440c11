"""A reaction for tests of its administration, and a user that is parked for it."""

from typing import Final
from uuid import UUID

from uuid_utils.compat import uuid7

from application.reactions.reaction import ReactionContext, reaction
from domain.event import Recorded
from domain.user.events import UserRegistered
from tests.support.views.directory import execute

_REACTION: Final = """
INSERT INTO reactions (tenant, name, enabled_from, changed_by)
VALUES ('main', 'greet', 0, 'system:reactions') ON CONFLICT DO NOTHING"""
_RUN: Final = """
INSERT INTO reaction_runs (tenant, reaction, event_id, position, stream, state, error, tries,
    parked_at) VALUES ('main', 'greet', %s, 1, %s, 'parked', 'refused', 8, now())"""


@reaction(name="greet", types=[UserRegistered])
async def greet(recorded: Recorded[UserRegistered], context: ReactionContext) -> None:
    """Greets a new user."""


GREET: Final = greet


async def park(url: str, user: str | UUID) -> None:
    """Park a user at a run of the reaction."""
    await execute(url, _REACTION)
    await execute(url, _RUN, uuid7(), user)
