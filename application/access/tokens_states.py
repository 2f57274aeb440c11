"""A token at one version of its stream, folded from recorded events."""

from collections.abc import Iterable
from datetime import datetime
from typing import cast
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

from domain.event import Event, Recorded
from domain.token.events import TokenEvent
from domain.token.state import Token, evolve


class TokenAt(Struct, frozen=True, kw_only=True):
    """A token at one version; `position` is that of the version's event."""

    id: UUID
    config: Token
    version: int
    position: int
    created_at: datetime
    created_by: str


def folded(events: Iterable[Recorded[Event]]) -> TokenAt | None:
    """The token after all events of its stream; None if there are none.

    Raises `ValueError` for a history that no command made.
    """
    state = None
    for recorded in events:
        state = after(state, recorded)
    return state


def after(state: TokenAt | None, recorded: Recorded[Event]) -> TokenAt:
    """The state after the next event; `state` is None before the first."""
    config = evolve(state and state.config, cast("TokenEvent", recorded.event))
    if state is None:
        return TokenAt(
            id=recorded.stream,
            config=config,
            version=recorded.version,
            position=recorded.position,
            created_at=recorded.recorded_at,
            created_by=recorded.actor,
        )
    return replace(state, config=config, version=recorded.version, position=recorded.position)
