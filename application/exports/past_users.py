"""Many users at earlier versions: short streams are read together, long ones by snapshot."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, Protocol, TypeGuard
from uuid import UUID

from msgspec import Struct

from application.errors import UserGone
from application.users.service import UserService
from application.users.states import ErasedAt, UserAt, UserState, after
from domain.event import ERASED, Event, Recorded

# Longer streams have snapshots.
_SHORT: Final = 64
# Events read at a time, all streams together.
_EVENTS: Final = 1000
_LONG_AT_ONCE: Final = 8

Place = tuple[UUID, int]


class EventsUpTo(Protocol):
    async def events_up_to(self, places: Sequence[Place]) -> Sequence[Recorded[Event]]:
        """All events of each user up to a version, user by user, in order. Raises `Unavailable`."""
        ...


class PastUsers(Struct, frozen=True):
    """Reads users from the log, as commands do."""

    events: EventsUpTo
    commands: UserService

    async def at(self, places: Sequence[Place]) -> Mapping[UUID, UserAt]:
        """Each user at its version, without erased users. Raises `Unavailable`."""
        found: dict[UUID, UserAt] = {}
        short = [place for place in places if place[1] <= _SHORT]
        for some in _bounded(short):
            states: dict[UUID, UserState] = {}
            for recorded in await self.events.events_up_to(some):
                states[recorded.stream] = after(states.get(recorded.stream), recorded)
            found |= {user_id: state for user_id, state in states.items() if _is_open(state)}
        turns = asyncio.Semaphore(_LONG_AT_ONCE)

        async def one(user_id: UUID, version: int) -> None:
            async with turns:
                try:
                    found[user_id] = await self.commands.user_at(user_id, version=version)
                except UserGone:
                    return

        await asyncio.gather(*(one(*place) for place in places if place[1] > _SHORT))
        return found


def _bounded(places: Sequence[Place]) -> Iterator[Sequence[Place]]:
    """The places in parts with a bounded number of events each."""
    part: list[Place] = []
    events = 0
    for place in places:
        if events + place[1] > _EVENTS and part:
            yield part
            part, events = [], 0
        part.append(place)
        events += place[1]
    if part:
        yield part


def _is_open(state: UserState) -> TypeGuard[UserAt]:
    return not isinstance(state, ErasedAt) and state.user.name is not ERASED
