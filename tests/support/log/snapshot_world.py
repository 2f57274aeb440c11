"""Users whose snapshots are made, dropped and thrown away, next to what a plain fold makes of them."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from itertools import pairwise
from typing import Any, Final, Literal, cast
from uuid import UUID

import pytest
from hypothesis import strategies as st
from msgspec.structs import replace
from uuid_utils.compat import uuid7

from application.context import Context, IdempotencyKey
from application.errors import UserGone
from application.log.event_log import EventLog, Snapshots, StreamKey, StreamSnapshot
from application.users.commands import Outcome
from application.users.service import UserService
from application.users.states import UserAt
from domain.errors import UserNotFound
from domain.user.commands import (
    ChangeUser,
    DeleteUser,
    EraseUser,
    RegisterUser,
    ReinstateUser,
    RestoreUser,
    SuspendUser,
    UserCommand,
)
from domain.user.events import UserErased, UserEvent
from domain.user.state import fold
from domain.values import EmailAddress, ExternalId, PersonName, Role

_MICROSECOND: Final = timedelta(microseconds=1)
_CONTEXT: Final = Context(actor="token:t", correlation_id="test")

Step = UserCommand | Literal["throw away", "look", "repeat"]

_names = st.sampled_from(["Ada", "Åsa Öberg", "Zoë"]).map(PersonName.parse)
_attributes = st.dictionaries(
    st.sampled_from("abc"), st.one_of(st.none(), st.integers(0, 3), st.just("é"), st.just([1.0]))
)
_changes = st.builds(
    ChangeUser,
    name=_names,
    role=st.sampled_from(["member", "owner"]).map(Role.parse),
    external_id=st.one_of(st.none(), st.sampled_from("xy").map(ExternalId.parse)),
    attributes=_attributes,
)
_others = st.sampled_from(
    [SuspendUser(), ReinstateUser(), DeleteUser(), RestoreUser(), RestoreUser()]
)
_steps = st.one_of(_changes, _changes, _others, st.sampled_from(["throw away", "look", "repeat"]))
lives: Final = st.tuples(st.lists(_steps, max_size=12), st.booleans())
"""What happens to one user, and whether the person is erased in the end."""


class DroppingSnapshots:
    """Passes some offers on and drops the others, as a full queue or the end of a process does."""

    def __init__(self, snapshots: Snapshots, keep: Callable[[], bool]) -> None:
        self._snapshots = snapshots
        self._keep = keep

    def offer(self, snapshots: Sequence[StreamSnapshot], key: StreamKey) -> None:
        if self._keep():
            self._snapshots.offer(snapshots, key)


class World:
    """One log with snapshots at every `every` versions."""

    def __init__(
        self,
        log: EventLog,
        snapshots: Snapshots,
        throw_away: Callable[[], Awaitable[Any]],
        *,
        every: int,
    ) -> None:
        self.log = log
        self.users = UserService(log, snapshots, snapshot_every=every)
        self._throw_away = throw_away

    async def live(self, steps: Sequence[Step], *, erased: bool) -> None:
        """A user's life, compared with a plain fold whenever there is a look, and at the end."""
        user_id = uuid7()
        register = RegisterUser(
            user_id=user_id,
            name=PersonName.parse("Ada"),
            email=EmailAddress.parse(f"{user_id}@example.com"),
            role=Role.parse("member"),
        )
        first = await self.users.execute(user_id, register, _keyed(user_id), status=201)
        for step in steps:
            match step:
                case "throw away":
                    await self._throw_away()
                case "look":
                    await self.agree(user_id)
                case "repeat":
                    again = await self.users.execute(user_id, register, _keyed(user_id), status=201)
                    assert (again.user, again.replayed) == (first.user, True)
                case _:
                    await self._command(user_id, step)
        await self.agree(user_id)
        if erased:
            await self._erase(user_id)

    async def agree(self, user_id: UUID) -> None:
        """The user is at every version and every time what its events come to."""
        events = (await self.log.load(user_id)).events
        states: list[UserAt] = []
        for recorded in events:
            user = fold(cast(UserEvent, each.event) for each in events[: recorded.version])
            assert user is not None
            states.append(
                UserAt(
                    user_id=user_id,
                    user=user,
                    version=recorded.version,
                    position=recorded.position,
                    created_at=events[0].recorded_at,
                    updated_at=recorded.recorded_at,
                )
            )
        for state in states:
            assert await self.users.user_at(user_id, version=state.version) == state
            assert await self.users.user_at(user_id, at=state.updated_at) == state
        for state, following in pairwise(states):
            just_before = following.updated_at - _MICROSECOND
            assert await self.users.user_at(user_id, at=just_before) == state
        assert await self.users.user_at(user_id) == states[-1]
        with pytest.raises(UserNotFound):
            await self.users.user_at(user_id, version=len(states) + 1)
        with pytest.raises(UserNotFound):
            await self.users.user_at(user_id, at=states[0].created_at - _MICROSECOND)

    async def _command(self, user_id: UUID, command: UserCommand) -> None:
        if isinstance(command, ChangeUser) and isinstance(command.external_id, ExternalId):
            # One person's alone, as it has to be.
            own = ExternalId.parse(f"{command.external_id.text}-{user_id}")
            command = replace(command, external_id=own)
        now = await self.users.user_at(user_id)
        if now.user.status == "deleted" and isinstance(
            command, (ChangeUser, SuspendUser, ReinstateUser)
        ):
            with pytest.raises(UserGone):
                await self.users.execute(user_id, command, _CONTEXT)
            return
        outcome = await self.users.execute(user_id, command, _CONTEXT)
        assert outcome.user == await self.users.user_at(user_id)

    async def _erase(self, user_id: UUID) -> None:
        erased = await self.users.execute(user_id, EraseUser(), _CONTEXT)
        events = (await self.log.load(user_id)).events
        assert isinstance(events[-1].event, UserErased)
        for recorded in events:
            with pytest.raises(UserGone) as refused:
                await self.users.user_at(user_id, version=recorded.version)
            assert (refused.value.status, refused.value.version) == ("erased", len(events))
            with pytest.raises(UserGone):
                await self.users.user_at(user_id, at=recorded.recorded_at)
        for command in (EraseUser(), DeleteUser()):
            again: Outcome = await self.users.execute(user_id, command, _CONTEXT, status=204)
            assert (again.user, again.position) == (erased.user, erased.position)
        for command in (RestoreUser(), SuspendUser()):
            with pytest.raises(UserGone):
                await self.users.execute(user_id, command, _CONTEXT)


def _keyed(user_id: UUID) -> Context:
    key = IdempotencyKey(str(user_id), b"register")
    return Context(actor="token:t", correlation_id="test", idempotency=key)
