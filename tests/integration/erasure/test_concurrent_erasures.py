"""Erasures on a real log beside other commands on the same user, and a replay from zero."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Self
from uuid import UUID

import pytest
from uuid_utils.compat import uuid7

from application.erasure.coverage import Coverage
from application.erasure.service import Erasure, ErasureService
from application.errors import ClaimTaken, UserGone
from application.projector.view_store import Slot
from application.users.commands import Outcome
from application.users.service import UserService
from domain.user.commands import ChangeUser, DeleteUser, RegisterUser, SuspendUser
from domain.values import EmailAddress, ExternalId, PersonName, Role
from infrastructure.views.generations.erasures import PostgresErasedViews
from projections.registry import PROJECTIONS
from tests.support.doubles.jobs import InMemoryJobs
from tests.support.jobs.personal_data_search import Words, in_tables
from tests.support.log.drafts import context
from tests.support.views.directory import ReadSide, execute
from tests.support.views.erasing import receipt_of
from tests.support.views.replay import Snapshot

EMAIL = "asa@bücher.example"


class Process:
    """The erasure service of one process."""

    def __init__(self, read_side: ReadSide, views: PostgresErasedViews) -> None:
        self.read_side = read_side
        self.users = UserService(read_side.events.log)
        coverage = Coverage(views, None, read_side.doorbell)
        self.erasures = ErasureService(
            self.users, coverage, InMemoryJobs(uuid7), timeout_seconds=20
        )

    @classmethod
    @asynccontextmanager
    async def open(cls, database_url: str) -> AsyncGenerator[Self]:
        """Open the services without a projector."""
        async with ReadSide.open(database_url) as read_side:
            yield cls(read_side, PostgresErasedViews(read_side.events.database))

    async def register(self, email: str = EMAIL) -> UUID:
        command = RegisterUser(
            user_id=uuid7(),
            name=PersonName.parse("Åsa Öberg"),
            email=EmailAddress.parse(email),
            role=Role.parse("member"),
            external_id=ExternalId.parse(f"x {email}"),
            attributes={"plays": "nyckelharpa"},
        )
        await self.users.execute(command.user_id, command, context(), status=201)
        return command.user_id

    async def erase(self, user_id: UUID, key: str | None = None) -> Erasure:
        return await self.erasures.erase(user_id, "other", context(key))


@pytest.fixture
async def processes(database_url: str) -> AsyncIterator[Sequence[Process]]:
    """Two processes; the first runs the projectors."""
    async with (
        Process.open(database_url) as here,
        Process.open(database_url) as there,
        here.read_side.projecting(),
    ):
        yield here, there


async def events_of(process: Process, user_id: UUID) -> list[str]:
    return [each.event.topic for each in (await process.read_side.events.log.load(user_id)).events]


async def test_erasing_twice_at_once_is_one_erasure(processes: Sequence[Process]) -> None:
    here, there = processes
    user_id = await here.register()
    erasures = await asyncio.gather(
        here.erase(user_id),
        there.erase(user_id, "a key"),
        there.erase(user_id),
        here.erase(user_id, "a key"),
    )
    assert len({receipt_of(erasure) for erasure in erasures}) == 1
    assert sum(erasure.replayed for erasure in erasures) == 1
    assert await events_of(here, user_id) == ["user.registered", "user.erased"]


@pytest.mark.parametrize("round_", range(4))
async def test_a_simultaneous_change_comes_before_the_erasure_or_is_refused(
    processes: Sequence[Process], round_: int
) -> None:
    here, there = processes
    user_id = await here.register()
    changes = [
        ChangeUser(name=PersonName.parse(f"Åsa {round_}")),
        ChangeUser(email=EmailAddress.parse("other@example.org"), attributes={"n": 1}),
        SuspendUser(reason="nyckelharpa at night"),
        DeleteUser(reason="nyckelharpa"),
    ]
    asked = [
        service.users.execute(user_id, change, context())
        for change in changes
        for service in (here, there)
    ]
    *outcomes, erasure = await asyncio.gather(*asked, there.erase(user_id), return_exceptions=True)
    assert isinstance(erasure, Erasure)
    assert {type(outcome) for outcome in outcomes} <= {Outcome, UserGone}
    events = await events_of(here, user_id)
    assert events[-1] == "user.erased"
    assert events.count("user.erased") == 1
    with pytest.raises(UserGone):
        await here.users.user_at(user_id)
    words = Words("Öberg", "nyckelharpa", "bücher", "other@example.org", f"Åsa {round_}")
    assert in_tables(here.read_side.url, words) == {}
    keys = await execute(here.read_side.url, "SELECT count(*) FROM subject_keys")
    assert keys == [(0,)]


async def test_one_of_the_waiting_callers_gets_the_address(processes: Sequence[Process]) -> None:
    here, there = processes
    user_id = await here.register()
    with pytest.raises(ClaimTaken):
        await there.register()

    async def retry_registration(process: Process) -> UUID | None:
        for _ in range(200):
            try:
                return await process.register("ÅSA@xn--bcher-kva.example")
            except ClaimTaken as taken:
                if taken.holder not in (user_id, None):
                    return None
        raise AssertionError("never free")

    attempts = [retry_registration(process) for process in (here, there, there, here)]
    erasing = asyncio.create_task(there.erase(user_id))
    taken = await asyncio.gather(*attempts)
    assert receipt_of(await erasing)
    assert sum(each is not None for each in taken) == 1


async def test_a_replay_from_zero_after_erasures_makes_the_same_views(database_url: str) -> None:
    async with Process.open(database_url) as process:
        async with process.read_side.projecting():
            kept, *gone = [await process.register(f"n{number}@example.org") for number in range(4)]
            name = PersonName.parse("Åsa Nyckelharpa")
            for user_id in (kept, *gone):
                await process.users.execute(user_id, ChangeUser(name=name), context())
                await process.users.execute(user_id, SuspendUser(reason="why not"), context())
            await process.users.execute(gone[0], DeleteUser(), context())
            for user_id in gone:
                assert receipt_of(await process.erase(user_id))
            await process.read_side.caught_up()
        before = await snapshots(process)
        for statement in _THROW_AWAY:
            await execute(database_url, statement)
        async with process.read_side.projecting():
            await process.read_side.caught_up()
        assert await snapshots(process) == before
        assert await process.read_side.differences() == []


_THROW_AWAY = (
    "TRUNCATE users_g1, headcount_g1, headcount_g1_counters",
    "UPDATE checkpoints SET position = 0",
)


async def snapshots(process: Process) -> list[Snapshot[Any]]:
    """All views, counters and positions."""
    slots = [Slot[Any](projection) for projection in PROJECTIONS]
    return [await process.read_side.snapshot(slot) for slot in slots]
