"""Users loaded from the log at little cost, however long their streams are."""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace
from structlog import get_logger

from application.context import Context
from application.errors import Unavailable
from application.log.event_log import (
    EventLog,
    LoadedStream,
    Snapshots,
    StoredReceipt,
    StreamKey,
    StreamRange,
    StreamSnapshot,
)
from application.users.snapshots import FORM, Unusable, snapshot_of, state_of
from application.users.states import UserAt, UserState, after
from domain.event import Event, Recorded

SNAPSHOT_EVERY: Final = 64
# A long way without a snapshot is gone in pages, so that others have their turn in between, and
# for no longer than a read of the log may take: the next try goes on from what was offered.
_PAGE_EVENTS: Final = 1024
_TIMEOUT_SECONDS: Final = 2.5

log = get_logger(__name__)


class LoadedUser(Struct, frozen=True, kw_only=True):
    """A user's state (None: there is none), the stream's key, and the receipt asked about."""

    state: UserState | None
    key: StreamKey | None = None
    receipt: StoredReceipt | None = None


class UserHistory:
    """Folds on from the nearest snapshot, and offers one at every version where one belongs.

    Snapshots lie at the multiples of `every`: whoever folds past one without having begun at it
    offers it, so that those which are lost, late or thrown away come back by being missed.
    """

    def __init__(
        self, log: EventLog, snapshots: Snapshots | None = None, *, every: int = SNAPSHOT_EVERY
    ) -> None:
        self._log = log
        self._snapshots = snapshots
        self._every = every

    async def load(
        self,
        user_id: UUID,
        context: Context | None = None,
        *,
        version: int | None = None,
        at: datetime | None = None,
    ) -> LoadedUser:
        """The user as of a version and a time, or as it is now; an erased one is so at any.

        With a context, also the receipt of its idempotency key: where there is one, no state.
        Raises `Unavailable`.
        """
        give_up_at = asyncio.get_running_loop().time() + _TIMEOUT_SECONDS
        span = StreamRange(version=version, at=at, limit=2 * self._every, snapshot_format=FORM)
        loaded, begin = await self._begin(user_id, span, context)
        if loaded.receipt is not None:
            return LoadedUser(state=None, key=loaded.key, receipt=loaded.receipt)
        state = self.follow(begin, loaded.events, loaded.key)
        ended = len(loaded.events) < 2 * self._every
        while not ended and isinstance(state, UserAt):
            if asyncio.get_running_loop().time() >= give_up_at:
                raise Unavailable
            span = StreamRange(after=state.version, version=version, at=at, limit=_PAGE_EVENTS)
            page = await self._log.load(user_id, span)
            if page.key is None and loaded.key is not None:
                # Erased meanwhile: what was read before is not to be shown with what is left.
                return await self.load(user_id, version=version, at=at)
            state = self.follow(state, page.events, page.key)
            ended = len(page.events) < _PAGE_EVENTS
        return LoadedUser(state=state, key=loaded.key)

    def follow(
        self, state: UserState | None, events: Sequence[Recorded[Event]], key: StreamKey | None
    ) -> UserState | None:
        """The state after the events that follow it, with the snapshots that are due on the way."""
        due: list[StreamSnapshot] = []
        for recorded in events:
            state = after(state, recorded)
            if recorded.version % self._every == 0 and isinstance(state, UserAt):
                due.append(snapshot_of(state))
        if due and key is not None and self._snapshots is not None:
            self._snapshots.offer(due, key)
        return state

    async def _begin(
        self, user_id: UUID, span: StreamRange, context: Context | None
    ) -> tuple[LoadedStream, UserAt | None]:
        """The first events, and the state they follow on: that of the nearest usable snapshot.

        Where one is not, those before it may not be either: the steps back grow.
        """
        step = 0
        actor, idempotency = (context.actor, context.idempotency) if context else ("", None)
        while True:
            loaded = await self._log.load(user_id, span, actor=actor, idempotency=idempotency)
            if loaded.snapshot is None:
                return loaded, None
            try:
                return loaded, state_of(loaded.snapshot)
            except Unusable as error:
                version = loaded.snapshot.version
                log.warning(
                    "snapshot_unusable", stream=str(user_id), version=version, reason=str(error)
                )
                span = replace(span, before=version - step)
                step = 4 * step + self._every
