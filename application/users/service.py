"""The commands of a user, from the request to the recorded events."""

import asyncio
import random
from datetime import datetime
from http import HTTPStatus
from typing import Final
from uuid import UUID

from application.context import Context
from application.errors import (
    ApplicationError,
    ClaimTaken,
    Contended,
    IdempotencyMismatch,
    KeySeen,
    NoSuchState,
    Overloaded,
    VersionConflict,
)
from application.failures import already_recorded
from application.log.event_log import (
    Appended,
    Draft,
    EventLog,
    StoredReceipt,
    StreamRange,
)
from application.users.commands import IfMatch, Outcome
from application.users.history import (
    SNAPSHOT_BYTES,
    SNAPSHOT_EVERY,
    LoadedUser,
    UserHistory,
    folded,
)
from application.users.setters import setters_after
from application.users.snapshots import snapshot_of
from application.users.states import (
    ErasedAt,
    UserAt,
    UserState,
    gone,
    setters_of,
    user_of,
)
from application.users.stream_locks import StreamLocks
from domain.errors import InvalidValue, UserAlreadyExists, UserIsDeleted, UserIsErased, UserNotFound
from domain.user.claims import released, taken
from domain.user.commands import EraseUser, RegisterUser, UserCommand
from domain.user.decide import decide
from domain.user.events import UserEvent
from domain.user.state import evolve

KIND: Final = "user"
# A caller gets its answer within 5 s, and an append may take 3.2 s: none begins later than this.
_BEGIN_SECONDS: Final = 1.6
_JITTER_SECONDS: Final = (0.002, 0.03)


class UserService:
    """All commands of a user, and its state at any version.

    A command loads, decides and appends, and repeats all of it after a version conflict.
    """

    def __init__(self, log: EventLog, *, snapshot_every: int = SNAPSHOT_EVERY) -> None:
        self._log = log
        self._history = UserHistory(log, every=snapshot_every)
        self._snapshot_every = snapshot_every
        self._locks = StreamLocks()

    async def execute(
        self,
        user_id: UUID,
        command: UserCommand,
        context: Context,
        *,
        if_match: IfMatch | None = None,
        status: int = 200,
    ) -> Outcome:
        """Decide and record the command, or repeat the first answer of its idempotency key.

        Raises, in this order: `IdempotencyMismatch`; `UserNotFound`, `UserGone`;
        `PreconditionFailed`; `InvalidValue`, `UserAlreadyExists`, `ClaimTaken`, `Contended`; and
        at any point `Overloaded`, `Unavailable`, `OutcomeUnknown`.
        """
        begin_by = asyncio.get_running_loop().time() + _BEGIN_SECONDS
        try:
            if isinstance(command, RegisterUser):
                return await self._register(user_id, command, context, status)
            async with self._locks.turn(user_id):
                return await self._change(user_id, command, context, if_match, status, begin_by)
        except KeySeen:
            # Another request with this key was recorded in the meantime.
            with already_recorded():
                loaded = await self._log.load(
                    user_id,
                    StreamRange(limit=0),
                    actor=context.actor,
                    idempotency=context.idempotency,
                )
            if loaded.receipt is None:
                raise
            return await self._replay(loaded.receipt)

    async def user_at(
        self, user_id: UUID, *, version: int | None = None, at: datetime | None = None
    ) -> UserAt:
        """The user at a version or a moment, or now.

        Raises `UserNotFound`, `NoSuchState` if the user had no such version or did not exist then,
        and `UserGone` if the user is erased.
        """
        state = (await self._history.load(user_id, version=version, at=at)).state
        if state is None and at is not None:
            # The user may have been registered later.
            state = await self._state(user_id)
            if isinstance(state, UserAt):
                raise NoSuchState(state.version, state.created_at)
        if state is None:
            raise UserNotFound
        if isinstance(state, ErasedAt):
            raise gone(state, erased=True)
        if version is not None and state.version != version:
            raise NoSuchState(state.version, state.created_at)
        return state

    async def _state(self, user_id: UUID, version: int | None = None) -> UserState:
        state = (await self._history.load(user_id, version=version)).state
        if state is None:
            raise UserNotFound
        return state

    async def _register(
        self, user_id: UUID, command: RegisterUser, context: Context, status: int
    ) -> Outcome:
        """Append without a load: the append itself detects an existing stream."""
        try:
            return await self._record(user_id, LoadedUser(state=None), command, context, status)
        except VersionConflict:
            raise UserAlreadyExists from None

    async def _change(
        self,
        user_id: UUID,
        command: UserCommand,
        context: Context,
        if_match: IfMatch | None,
        status: int,
        begin_by: float,
    ) -> Outcome:
        loop = asyncio.get_running_loop()
        too_late: ApplicationError = Overloaded()
        while True:
            loaded = (
                await self._history.load_unopened(user_id, context)
                if isinstance(command, EraseUser)
                else await self._history.load(user_id, context)
            )
            if loaded.receipt is not None:
                return await self._replay(loaded.receipt)
            if loop.time() >= begin_by:
                raise too_late
            try:
                return await self._record(user_id, loaded, command, context, status, if_match)
            except VersionConflict:
                too_late = Contended()
                await asyncio.sleep(random.uniform(*_JITTER_SECONDS))  # noqa: S311

    async def _record(
        self,
        user_id: UUID,
        loaded: LoadedUser,
        command: UserCommand,
        context: Context,
        status: int,
        if_match: IfMatch | None = None,
    ) -> Outcome:
        state = loaded.state
        events = _decide(state, command, if_match)
        if state is not None and not events and context.idempotency is None:
            return Outcome(user=state, position=state.position, status=status)
        before = after = user_of(state)
        setters = setters_of(state)
        version = state.version if state is not None else 0
        for number, event in enumerate(events, start=version + 1):
            after = evolve(after, event)
            setters = setters_after(setters, event, number)
        erases = isinstance(command, EraseUser) and bool(events)
        folds = version + len(events) - loaded.snapshot_version
        is_long = folds >= self._snapshot_every or loaded.size > SNAPSHOT_BYTES
        needs_snapshot = bool(events) and not erases and is_long
        draft = Draft(
            kind=KIND,
            stream=user_id,
            after_version=version,
            events=events,
            context=context,
            key=loaded.key,
            take=tuple(taken(before, after).items()),
            release=tuple(released(before, after).items()),
            destroy_key=erases,
            snapshot=snapshot_of(after, setters) if needs_snapshot and after is not None else None,
            status=status,
        )
        appended = await self._append(draft)
        recorded = folded(state, appended.events)
        assert recorded is not None, "an append has events or a state before it"
        return Outcome(user=recorded, position=appended.position, status=status)

    async def _append(self, draft: Draft) -> Appended:
        try:
            return await self._log.append(draft)
        except ClaimTaken as taken:
            holder = await self._log.holder_of(taken.scope, dict(draft.take)[taken.scope])
            raise ClaimTaken(taken.scope, holder) from None

    async def _replay(self, receipt: StoredReceipt) -> Outcome:
        if not receipt.matches:
            raise IdempotencyMismatch
        with already_recorded():
            user = await self._state(receipt.stream, version=receipt.version)
        shows_user = receipt.status != HTTPStatus.NO_CONTENT
        if shows_user and isinstance(user, ErasedAt) and user.version != receipt.version:
            raise gone(user, erased=True)
        return Outcome(user=user, position=receipt.position, status=receipt.status, replayed=True)


def _decide(
    state: UserState | None, command: UserCommand, if_match: IfMatch | None
) -> tuple[UserEvent, ...]:
    """The events of a command. `PreconditionFailed` comes before `InvalidValue`."""
    try:
        decided = decide(user_of(state), command)
    except (UserIsDeleted, UserIsErased) as refusal:
        assert state is not None, "only an existing user is deleted or erased"
        raise gone(state, erased=isinstance(refusal, UserIsErased)) from None
    except InvalidValue:
        _check(if_match, state)
        raise
    _check(if_match, state)
    return decided


def _check(if_match: IfMatch | None, state: UserState | None) -> None:
    if if_match is not None:
        if_match.check(state.version if state is not None else 0)
