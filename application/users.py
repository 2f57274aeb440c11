"""The commands of a user, from the request to the recorded events."""

import asyncio
import random
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final, Protocol, cast
from uuid import UUID

from msgspec import Struct

from application.context import Context
from application.errors import (
    ApplicationError,
    ClaimTaken,
    Contended,
    IdempotencyMismatch,
    KeySeen,
    Overloaded,
    PreconditionFailed,
    UserGone,
    VersionConflict,
)
from application.event_log import Appended, Draft, EventLog, LoadedStream, StoredReceipt
from application.failures import already_recorded
from application.stream_locks import StreamLocks
from domain.errors import InvalidValue, UserAlreadyExists, UserIsDeleted, UserIsErased, UserNotFound
from domain.event import Event, Recorded
from domain.user.claims import claims_of
from domain.user.commands import EraseUser, RegisterUser, UserCommand
from domain.user.decide import decide
from domain.user.events import UserEvent
from domain.user.state import User, evolve, fold

KIND: Final = "user"
# A caller has its answer within 5 s, and an append may take 3.2 s: none is begun later than this.
_BEGIN_SECONDS: Final = 1.6
_JITTER_SECONDS: Final = (0.002, 0.03)


class IfMatch(Struct, frozen=True):
    """The versions a command may be applied to; None stands for any (`*`)."""

    versions: frozenset[int] | None

    def admits(self, version: int) -> bool:
        return self.versions is None or version in self.versions


class UserAt(Struct, frozen=True, kw_only=True):
    """A user as of one version of the stream."""

    user_id: UUID
    user: User
    version: int
    created_at: datetime
    updated_at: datetime


class Outcome(Struct, frozen=True, kw_only=True):
    """What a command came to: the user after it, and the position to pass on to queries.

    `status` is the HTTP status that the first answer had (kept with the idempotency key).
    """

    user: UserAt
    position: int
    status: int
    replayed: bool = False


class UserCommands(Protocol):
    """Every command of a user, and its state at any version."""

    async def execute(
        self,
        user_id: UUID,
        command: UserCommand,
        context: Context,
        *,
        if_match: IfMatch | None = None,
        status: int = 200,
    ) -> Outcome:
        """Decide and record the command, or answer as its idempotency key was answered before.

        Raises, in this order: `IdempotencyMismatch`; `UserNotFound`, `UserGone`;
        `PreconditionFailed`; `InvalidValue`, `UserAlreadyExists`, `ClaimTaken`, `Contended`; and
        at any point `Overloaded`, `Unavailable`, `OutcomeUnknown`.
        """
        ...

    async def user_at(
        self, user_id: UUID, *, version: int | None = None, at: datetime | None = None
    ) -> UserAt:
        """The user as it was at a version or a moment, or as it is now.

        Raises `UserNotFound` where there was none, and `UserGone` once the user is erased.
        """
        ...


class UserService:
    """The command side over a log: load, decide, append, and again where another was faster."""

    def __init__(self, log: EventLog) -> None:
        self._log = log
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
        """See `UserCommands.execute`."""
        begin_by = asyncio.get_running_loop().time() + _BEGIN_SECONDS
        try:
            if isinstance(command, RegisterUser):
                return await self._register(user_id, command, context, status)
            async with self._locks.turn(user_id):
                return await self._change(user_id, command, context, if_match, status, begin_by)
        except KeySeen:
            # Another request with this key was recorded while this one was on its way.
            with already_recorded():
                loaded = await self._log.load(
                    user_id, actor=context.actor, idempotency=context.idempotency
                )
            if loaded.receipt is None:
                raise
            return await self._replay(loaded.receipt)

    async def user_at(
        self, user_id: UUID, *, version: int | None = None, at: datetime | None = None
    ) -> UserAt:
        """See `UserCommands.user_at`."""
        events = (await self._log.load(user_id)).events
        _refuse_erased(events)
        return _state(
            user_id,
            [
                recorded
                for recorded in events
                if (version is None or recorded.version <= version)
                and (at is None or recorded.recorded_at <= at)
            ],
            version,
        )

    async def _register(
        self, user_id: UUID, command: RegisterUser, context: Context, status: int
    ) -> Outcome:
        """A new stream needs no look before the append: the append itself finds it there."""
        try:
            return await self._record(user_id, LoadedStream(events=()), command, context, status)
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
            loaded = await self._log.load(
                user_id, actor=context.actor, idempotency=context.idempotency
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
        loaded: LoadedStream,
        command: UserCommand,
        context: Context,
        status: int,
        if_match: IfMatch | None = None,
    ) -> Outcome:
        before = _fold(loaded.events)
        events = _decide(before, command, loaded.events, if_match)
        after = before
        for event in events:
            after = evolve(after, event)
        if not events and context.idempotency is None:
            return Outcome(
                user=_state(user_id, loaded.events),
                position=loaded.events[-1].position,
                status=status,
            )
        held, holds = claims_of(before), claims_of(after)
        draft = Draft(
            kind=KIND,
            stream=user_id,
            after_version=len(loaded.events),
            events=events,
            context=context,
            key=loaded.key,
            take=tuple(claim for claim in holds.items() if claim not in held.items()),
            release=tuple(claim for claim in held.items() if claim not in holds.items()),
            destroy_key=isinstance(command, EraseUser) and bool(events),
            status=status,
        )
        appended = await self._append(draft)
        return Outcome(
            user=_state(user_id, [*loaded.events, *appended.events]),
            position=appended.position,
            status=status,
        )

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
            user = await self.user_at(receipt.stream, version=receipt.version)
        return Outcome(
            user=user,
            position=receipt.position,
            status=receipt.status,
            replayed=True,
        )


def _decide(
    user: User | None,
    command: UserCommand,
    events: Sequence[Recorded[Event]],
    if_match: IfMatch | None,
) -> tuple[UserEvent, ...]:
    try:
        decided = decide(user, command)
    except (UserIsDeleted, UserIsErased) as gone:
        raise _gone(events, erased=isinstance(gone, UserIsErased)) from None
    except InvalidValue:
        _check(if_match, len(events))
        raise
    _check(if_match, len(events))
    return decided


def _check(if_match: IfMatch | None, version: int) -> None:
    if if_match is not None and not if_match.admits(version):
        raise PreconditionFailed(version)


def _state(user_id: UUID, events: Sequence[Recorded[Event]], version: int | None = None) -> UserAt:
    user = _fold(events)
    if user is None or (version is not None and len(events) != version):
        raise UserNotFound
    return UserAt(
        user_id=user_id,
        user=user,
        version=len(events),
        created_at=events[0].recorded_at,
        updated_at=events[-1].recorded_at,
    )


def _fold(events: Iterable[Recorded[Event]]) -> User | None:
    return fold(cast(UserEvent, recorded.event) for recorded in events)


def _refuse_erased(events: Sequence[Recorded[Event]]) -> None:
    user = _fold(events)
    if user is not None and user.status == "erased":
        raise _gone(events, erased=True)


def _gone(events: Sequence[Recorded[Event]], *, erased: bool) -> UserGone:
    last = events[-1]
    return UserGone("erased" if erased else "deleted", last.version, last.recorded_at)
