"""The port to the stored progress of deliveries, for the one worker that leads a webhook."""

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Protocol
from uuid import UUID

from msgspec import Struct

from application.webhooks.delivery_ports import ParkedUser
from application.webhooks.health import Health


class Checkpoint(Struct, frozen=True, kw_only=True):
    """How far a webhook is.

    `version` is the webhook's version that was last put into effect, `replayed` that of its last
    replay. `resume_at` is the position at which a replay with an end goes on after it.
    """

    position: int
    version: int = 0
    replayed: int = 0
    resume_at: int | None = None


class Begun(Struct, frozen=True, kw_only=True):
    """What is stored when a worker begins to lead."""

    checkpoint: Checkpoint
    health: Health
    parked: frozenset[UUID]


class MadeAttempt(Struct, frozen=True, kw_only=True):
    """See `Attempt`; `number` counts from 1 in each save."""

    number: int
    event_id: UUID
    user: UUID
    position: int
    status: int | None
    error: str | None
    milliseconds: int
    at: datetime
    tries: int


class Saved(Struct, frozen=True, kw_only=True):
    """All that one save records.

    `delivered` and `failed` are added to the counts. `parked` has the users whose row changes;
    for a user that is parked no more, None. `attempts` has 1,000 at most.
    """

    checkpoint: Checkpoint
    health: Health
    delivered: int
    failed: int
    parked: Mapping[UUID, ParkedUser | None]
    attempts: Sequence[MadeAttempt]


class DeliveryProgress(Protocol):
    """The progress of one webhook in the worker that leads.

    Each method raises `Unavailable`; those that write also raise `NotLeading`.
    """

    async def begin(self, after: int) -> Begun:
        """What is stored; a webhook without progress begins after this position."""
        ...

    async def save(self, saved: Saved) -> None:
        """Record all of it, or nothing."""
        ...

    async def renew(self, checkpoint: Checkpoint, replay_after: int | None) -> None:
        """Put a version of the webhook into effect: see `health.renewed`, for parked users too.

        A replay moves all of them back to its position, unless they are there.
        """
        ...

    async def due(
        self, now: datetime, limit: int, without: Collection[UUID]
    ) -> Sequence[ParkedUser]:
        """Parked users whose next try is due, the longest waiting first."""
        ...


class Membership(Protocol):
    """The place of this worker among those that share the webhooks."""

    async def workers(self) -> int:
        """How many there are now. Raises `NotLeading` if this one counts no longer."""
        ...


class DeliveryLedger(Protocol):
    """The stored progress of all webhooks, and the workers that share them."""

    def join(self) -> AbstractAsyncContextManager[Membership]:
        """Count among the workers until the context ends. Raises `Unavailable`."""
        ...

    def lead(self, webhook: UUID) -> AbstractAsyncContextManager[DeliveryProgress]:
        """Wait until no other worker leads this webhook, and lead it until the context ends.

        Raises `Unavailable`.
        """
        ...

    async def remove_deleted(self) -> Sequence[UUID]:
        """Remove and return what is stored of deleted webhooks. Raises `Unavailable`."""
        ...
