"""Users whose snapshots are made, dropped and deleted, compared with a fold of their events."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from itertools import pairwise
from typing import Any, Final, Literal, cast
from uuid import UUID

import pytest
from hypothesis import strategies as st
from msgspec.structs import replace
from uuid_utils.compat import uuid7

from application.context import Context, IdempotencyKey
from application.errors import NoSuchState, UserGone
from application.log.event_log import Appended, Draft, EventLog
from application.users.commands import Outcome
from application.users.service import UserService
from application.users.setters import Setters
from application.users.states import UserAt
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
from domain.user.events import StatusChanged, UserErased, UserEvent, UserRegistered
from domain.user.state import User, fold
from domain.values import EmailAddress, ExternalId, PersonName, Role

_MICROSECOND: Final = timedelta(microseconds=1)
_CONTEXT: Final = Context(actor="token:t", correlation_id="test")

Step = UserCommand | Literal["delete snapshots", "check", "repeat"]

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
_steps = st.one_of(
    _changes, _changes, _others, st.sampled_from(["delete snapshots", "check", "repeat"])
)
histories: Final = st.tuples(st.lists(_steps, max_size=12), st.booleans())
"""The steps of one user, and whether the person is erased at the end."""


class DroppingLog:
    """A log that leaves out some of the snapshots of its appends."""

    def __init__(self, log: EventLog, keep: Callable[[], bool]) -> None:
        self.load, self.holder_of = log.load, log.holder_of
        self._log = log
        self._keep = keep

    async def append(self, draft: Draft) -> Appended:
        return await self._log.append(draft if self._keep() else replace(draft, snapshot=None))


class World:
    """A log with a snapshot at least about every `every` versions."""

    def __init__(
        self, log: EventLog, delete_snapshots: Callable[[], Awaitable[Any]], *, every: int
    ) -> None:
        self.log = log
        self.users = UserService(log, snapshot_every=every)
        self._delete_snapshots = delete_snapshots

    async def run(self, steps: Sequence[Step], *, erased: bool) -> None:
        """Run the steps of one user; compare it with a fold at each "check" and at the end."""
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
                case "delete snapshots":
                    await self._delete_snapshots()
                case "check":
                    await self.check_user(user_id)
                case "repeat":
                    again = await self.users.execute(user_id, register, _keyed(user_id), status=201)
                    assert (again.user, again.replayed) == (first.user, True)
                case _:
                    await self._command(user_id, step)
        await self.check_user(user_id)
        if erased:
            await self._erase(user_id)

    async def check_user(self, user_id: UUID) -> None:
        """Check the user against a fold of its events, at every version and every time."""
        events = (await self.log.load(user_id)).events
        states: list[UserAt] = []
        for recorded in events:
            until = [cast(UserEvent, each.event) for each in events[: recorded.version]]
            user = fold(until)
            assert user is not None
            states.append(
                UserAt(
                    user_id=user_id,
                    user=user,
                    version=recorded.version,
                    position=recorded.position,
                    created_at=events[0].recorded_at,
                    updated_at=recorded.recorded_at,
                    setters=_setters(user, until),
                )
            )
        for state in states:
            assert await self.users.user_at(user_id, version=state.version) == state
            assert await self.users.user_at(user_id, at=state.updated_at) == state
        for state, following in pairwise(states):
            just_before = following.updated_at - _MICROSECOND
            assert await self.users.user_at(user_id, at=just_before) == state
        assert await self.users.user_at(user_id) == states[-1]
        with pytest.raises(NoSuchState):
            await self.users.user_at(user_id, version=len(states) + 1)
        with pytest.raises(NoSuchState):
            await self.users.user_at(user_id, at=states[0].created_at - _MICROSECOND)

    async def _command(self, user_id: UUID, command: UserCommand) -> None:
        if isinstance(command, ChangeUser) and isinstance(command.external_id, ExternalId):
            # An external id must be unique.
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


def _setters(user: User, events: Sequence[UserEvent]) -> Setters:
    """The setters by a search for each field: the last event that sets it."""

    def last(sets: Callable[[UserEvent], bool]) -> int:
        return max(n for n, event in enumerate(events, start=1) if sets(event))

    def last_with(field: str) -> int:
        return last(lambda event: hasattr(event, field))

    def last_of(key: str) -> int:
        return last(lambda event: key in _attributes_set(event))

    names = [name for name in UserRegistered.__struct_fields__ if name != "attributes"]
    fields = {name: last_with(name) for name in names}
    status = last(lambda event: isinstance(event, UserRegistered | StatusChanged))
    assert isinstance(user.attributes, dict)
    return Setters({**fields, "status": status}, {key: last_of(key) for key in user.attributes})


def _attributes_set(event: UserEvent) -> Mapping[str, Any]:
    found = getattr(event, "set", None) or getattr(event, "attributes", None)
    return cast("Mapping[str, Any]", found or {})
