"""Reactions as operators see and change them: their state, the parked users, on and off."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Final, Literal, Protocol
from uuid import UUID

from msgspec import Struct

from application.doorbell import Doorbell
from application.reactions.reaction import Reaction
from application.reactions.scheduling import REACTIONS_BELL

MAX_COUNTED: Final = 10_000
"""Runs are counted up to this number, so that a count never takes long."""

NO_WORKER: Final = "no worker has started yet"
_NOT_IN_RELEASE: Final = "this release does not have it"
_OUTAGE: Final = "a server that it needs is away"


class NotParked(Exception):
    """This user is not parked for the reaction."""


class StoredReaction(Struct, frozen=True, kw_only=True):
    """A reaction in the store; runs that are not finished are counted up to `MAX_COUNTED`."""

    name: str
    enabled: bool
    missing: str | None
    enabled_from: int
    paused_until: datetime | None
    changed_by: str
    changed_at: datetime
    queued: int
    parked: int


class StoredReactions(Struct, frozen=True, kw_only=True):
    """All reactions in the store, the checkpoint of the follower, and the head of the log."""

    items: Sequence[StoredReaction]
    position: int
    head: int


class ReactionStatus(Struct, frozen=True, kw_only=True):
    """A reaction of this release, or one with runs that are left.

    `state`: `on`; `waiting`, because a server that it needs is away; or `off`. `reason` says why it
    is not on. `available`: the workers can run it. It reacts to events after `enabled_from`, if it is
    enabled. `queued` are the runs to come, also those behind a parked one.
    """

    name: str
    description: str
    types: Sequence[str]
    state: Literal["on", "waiting", "off"]
    reason: str | None
    enabled: bool
    available: bool
    enabled_from: int | None
    position: int
    lag: int
    queued: int
    parked: int
    changed_by: str | None
    changed_at: datetime | None


class ParkedUser(Struct, frozen=True, kw_only=True):
    """A user that is parked at an event; `waiting` counts later runs, up to `MAX_COUNTED`."""

    user: UUID
    position: int
    event_id: UUID
    type: str | None
    error: str
    tries: int
    parked_at: datetime
    waiting: int


class Skip(Struct, frozen=True, kw_only=True):
    """The decision of an operator; the same in each attempt to carry it out."""

    id: UUID
    reason: str
    actor: str


class ReactionRecords(Protocol):
    """What is stored of reactions. Each method raises `Unavailable`."""

    async def stored(self) -> StoredReactions:
        """All reactions."""
        ...

    async def parked(self, name: str, after: int, limit: int) -> Sequence[ParkedUser]:
        """The users that are parked at a position after this one, in order."""
        ...

    async def switch(self, name: str, actor: str, *, enabled: bool) -> None:
        """Enable a reaction at the head of the log, or disable it; no change if it is so already."""
        ...

    async def retry(self, name: str, user: UUID) -> bool:
        """Queue the run at which a user is parked, as if it were new; False if none is."""
        ...

    async def skip(self, name: str, user: UUID, skip: Skip) -> bool:
        """End the run at which a user is parked, and go on after it; False if none is.

        True, and no change, if this skip was done before.
        """
        ...


class ReactionAdmin:
    """Each method takes the name of a reaction that `names` returns, and raises `Unavailable`."""

    def __init__(
        self, reactions: Sequence[Reaction], records: ReactionRecords, doorbell: Doorbell
    ) -> None:
        self._reactions = {each.name: each for each in reactions}
        self._records = records
        self._doorbell = doorbell

    async def names(self) -> Collection[str]:
        """The reactions of this release, then those of other releases that are stored."""
        return [each.name for each in await self.statuses()]

    async def statuses(self) -> Sequence[ReactionStatus]:
        """All reactions, those of this release first."""
        stored = await self._records.stored()
        rows = {each.name: each for each in stored.items}
        others = [name for name in rows if name not in self._reactions]
        return [self._status(name, rows.get(name), stored) for name in (*self._reactions, *others)]

    async def parked(self, name: str, after: int, limit: int) -> Sequence[ParkedUser]:
        """See `ReactionRecords.parked`."""
        return await self._records.parked(name, after, limit)

    async def switch(self, name: str, actor: str, *, enabled: bool) -> ReactionStatus:
        """Enable a reaction, from the head of the log on, or disable it; runs to come end skipped."""
        await self._records.switch(name, actor, enabled=enabled)
        self._doorbell.ring(REACTIONS_BELL)
        return next(each for each in await self.statuses() if each.name == name)

    async def retry(self, name: str, user: UUID) -> None:
        """Run the event at which a user is parked again. Raises `NotParked`."""
        self._changed(await self._records.retry(name, user))

    async def skip(self, name: str, user: UUID, skip: Skip) -> None:
        """Skip the event at which a user is parked, for good. Raises `NotParked`."""
        self._changed(await self._records.skip(name, user, skip))

    def _changed(self, is_changed: bool) -> None:
        if not is_changed:
            raise NotParked(NotParked.__doc__)
        self._doorbell.ring(REACTIONS_BELL)

    def _status(
        self, name: str, row: StoredReaction | None, stored: StoredReactions
    ) -> ReactionStatus:
        reaction = self._reactions.get(name)
        reason = _reason(reaction, row)
        is_waiting = reason is None and row is not None and row.paused_until is not None
        return ReactionStatus(
            name=name,
            description=reaction.description if reaction else "",
            types=sorted(reaction.types) if reaction else [],
            state="off" if reason else "waiting" if is_waiting else "on",
            reason=_OUTAGE if is_waiting else reason,
            enabled=row is None or row.enabled,
            available=reaction is not None and row is not None and row.missing is None,
            enabled_from=row.enabled_from if row else None,
            position=stored.position,
            lag=stored.head - stored.position,
            queued=row.queued if row else 0,
            parked=row.parked if row else 0,
            changed_by=row.changed_by if row else None,
            changed_at=row.changed_at if row else None,
        )


def _reason(reaction: Reaction | None, row: StoredReaction | None) -> str | None:
    """Why the reaction is off; None if it is not."""
    if reaction is None:
        return _NOT_IN_RELEASE
    if row is None:
        return NO_WORKER
    return row.missing if row.enabled else f"disabled by {row.changed_by}"
