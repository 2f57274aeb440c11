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
    Draft,
    EventLog,
    LoadedStream,
    StoredReceipt,
    StreamKey,
    StreamRange,
)
from application.users.snapshots import SNAPSHOT_FORMAT, Unusable, snapshot_of, state_of
from application.users.states import UserAt, UserState, after, unopened
from domain.event import Event, Recorded

SNAPSHOT_EVERY: Final = 64
# Large events, with up to 16 KiB of attributes before and after, take longer to read.
SNAPSHOT_BYTES: Final = 128 * 1024
# A long stream without snapshots is read in pages, so that other tasks run in between, and for no
# longer than a read of the log may take. Each page leaves a snapshot: the next try continues there.
_PAGE_EVENTS: Final = 1024
_TIMEOUT_SECONDS: Final = 2.5
_STORE_SECONDS: Final = 0.3
_STORING: Final = Context(actor="system:snapshots", correlation_id="snapshots")

log = get_logger(__name__)


class LoadedUser(Struct, frozen=True, kw_only=True):
    """The state of a user (None: no such user), its key, and the requested receipt.

    `snapshot_version` is the version of the snapshot from which it was folded, 0 if none, and
    `size` that of the events since then, in bytes.
    """

    state: UserState | None
    snapshot_version: int = 0
    size: int = 0
    key: StreamKey | None = None
    receipt: StoredReceipt | None = None


class UserHistory:
    """Folds from the nearest snapshot.

    Commands store one about every `every` versions, earlier after large events. Where they are missing, a load stores some.
    """

    def __init__(self, log: EventLog, *, every: int = SNAPSHOT_EVERY) -> None:
        self._log = log
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
        if loaded.receipt is not None or not _is_user(loaded.events):
            return LoadedUser(state=None, key=loaded.key, receipt=loaded.receipt)
        state = folded(begin, loaded.events)
        ended = len(loaded.events) < 2 * self._every
        storing = loaded.key is not None
        while not ended and isinstance(state, UserAt):
            storing = storing and await self._store(state, loaded.key)
            if asyncio.get_running_loop().time() >= deadline:
                raise Unavailable
            stream_range = StreamRange(
                after=state.version, version=version, at=at, limit=_PAGE_EVENTS
            )
            page = await self._log.load(user_id, stream_range)
            if page.key is None and loaded.key is not None:
                # Erased meanwhile: the pages read before must not be shown.
                return await self.load(user_id, version=version, at=at)
            state = folded(state, page.events)
            ended = len(page.events) < _PAGE_EVENTS
        return LoadedUser(
            state=state,
            snapshot_version=begin.version if begin else 0,
            size=loaded.size,
            key=loaded.key,
        )

    async def load_unopened(self, user_id: UUID, context: Context) -> LoadedUser:
        """As `load`, but of the state only whether the user is erased, without opening anything.

        So a user with a lost key, or with events that this release cannot read, can be erased.
        """
        loaded = await self._log.load(
            user_id,
            StreamRange(last_unopened=True),
            actor=context.actor,
            idempotency=context.idempotency,
        )
        state = None
        if loaded.receipt is None and loaded.events and _is_user(loaded.events):
            state = unopened(loaded.events[-1])
        # Without the key: an erasure seals nothing.
        return LoadedUser(state=state, receipt=loaded.receipt)

    async def _store(self, state: UserAt, key: StreamKey | None) -> bool:
        """Store a snapshot without a command. Whether that worked: nothing depends on it."""
        draft = Draft(
            kind="user",
            stream=state.user_id,
            after_version=state.version,
            events=(),
            context=_STORING,
            key=key,
            snapshot=snapshot_of(state.user, state.setters),
        )
        try:
            async with asyncio.timeout(_STORE_SECONDS):
                await self._log.append(draft)
        except Exception as error:
            log.warning("snapshot_not_stored", error=type(error).__name__)
            return False
        return True

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


def _is_user(events: Sequence[Recorded[Event]]) -> bool:
    """Whether the events may be a user's: the stream of another kind is no user."""
    return not events or events[0].kind == "user"


def folded(state: UserState | None, events: Sequence[Recorded[Event]]) -> UserState | None:
    """The state after the events."""
    for recorded in events:
        state = after(state, recorded)
    return state
