"""Loads users from the log: a bounded number of events, thanks to snapshots."""

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
from application.users.snapshots import SNAPSHOT_FORMAT, Unusable, snapshot_of, state_of
from application.users.states import UserAt, UserState, after
from domain.event import Event, Recorded

SNAPSHOT_EVERY: Final = 64
# A long stream without snapshots is read in pages, so that other tasks run in between, and for no
# longer than a read of the log may take. The next try continues from the snapshots offered so far.
_PAGE_EVENTS: Final = 1024
_TIMEOUT_SECONDS: Final = 2.5

log = get_logger(__name__)


class LoadedUser(Struct, frozen=True, kw_only=True):
    """The state of a user (None: no such user), its key, and the requested receipt."""

    state: UserState | None
    key: StreamKey | None = None
    receipt: StoredReceipt | None = None


class UserHistory:
    """Folds from the nearest snapshot, and offers missing snapshots.

    Snapshots are at the multiples of `every`. A fold that passes such a version offers a snapshot
    of it, so lost, late and dropped snapshots are made again when needed.
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
        """The user at a version and a time, or now; an erased user is erased at all versions.

        With a context, also the receipt of its idempotency key; if there is one, no state.
        Raises `Unavailable`.
        """
        deadline = asyncio.get_running_loop().time() + _TIMEOUT_SECONDS
        stream_range = StreamRange(
            version=version, at=at, limit=2 * self._every, snapshot_format=SNAPSHOT_FORMAT
        )
        loaded, begin = await self._begin(user_id, stream_range, context)
        if loaded.receipt is not None:
            return LoadedUser(state=None, key=loaded.key, receipt=loaded.receipt)
        state = self.follow(begin, loaded.events, loaded.key)
        ended = len(loaded.events) < 2 * self._every
        while not ended and isinstance(state, UserAt):
            if asyncio.get_running_loop().time() >= deadline:
                raise Unavailable
            stream_range = StreamRange(
                after=state.version, version=version, at=at, limit=_PAGE_EVENTS
            )
            page = await self._log.load(user_id, stream_range)
            if page.key is None and loaded.key is not None:
                # Erased meanwhile: the pages read before must not be shown.
                return await self.load(user_id, version=version, at=at)
            state = self.follow(state, page.events, page.key)
            ended = len(page.events) < _PAGE_EVENTS
        return LoadedUser(state=state, key=loaded.key)

    def follow(
        self, state: UserState | None, events: Sequence[Recorded[Event]], key: StreamKey | None
    ) -> UserState | None:
        """The state after the events; offers the snapshots that are due."""
        due: list[StreamSnapshot] = []
        for recorded in events:
            state = after(state, recorded)
            if recorded.version % self._every == 0 and isinstance(state, UserAt):
                due.append(snapshot_of(state))
        if due and key is not None and self._snapshots is not None:
            self._snapshots.offer(due, key)
        return state

    async def _begin(
        self, user_id: UUID, stream_range: StreamRange, context: Context | None
    ) -> tuple[LoadedStream, UserAt | None]:
        """The first page, and the state before it: that of the nearest usable snapshot.

        If a snapshot is unusable, the ones before it may be, too, so the steps back grow.
        """
        step = 0
        actor, idempotency = (context.actor, context.idempotency) if context else ("", None)
        while True:
            loaded = await self._log.load(
                user_id, stream_range, actor=actor, idempotency=idempotency
            )
            if loaded.snapshot is None:
                return loaded, None
            try:
                return loaded, state_of(loaded.snapshot)
            except Unusable as error:
                version = loaded.snapshot.version
                log.warning(
                    "snapshot_unusable", stream=str(user_id), version=version, reason=str(error)
                )
                stream_range = replace(stream_range, before=version - step)
                step = 4 * step + self._every
