"""The projectors on a real server: under any fault the views equal a fold of the log."""

import asyncio
import random
import signal
from asyncio.subprocess import Process
from collections.abc import AsyncGenerator, Generator
from contextlib import AbstractAsyncContextManager, contextmanager
from uuid import UUID

import pytest
from psycopg.pq import PGconn
from uuid_utils.compat import uuid7

from application.log.event_log import Draft
from application.projector.view_store import Slot
from domain.event import Event
from domain.user.events import (
    PreviousName,
    UserDeleted,
    UserRegistered,
    UserRenamed,
    UserRestored,
    UserSuspended,
)
from infrastructure.views.projector.ensure import ensure_views
from infrastructure.views.sql.slot_lock import lock_of
from projections.registry import PROJECTIONS
from projections.users import USERS
from tests.support.log.drafts import context
from tests.support.run.background import module_process
from tests.support.servers.postgres import name_of, scaled
from tests.support.views.directory import ReadSide, execute


@contextmanager
def frozen_session(url: str, statement: str) -> Generator[None]:
    """A session that executes a statement and then freezes in the middle of an answer."""
    session = PGconn.connect(url.encode())
    session.exec_(statement.encode())
    # Far more than the sockets hold: the server waits for the client, when no idle timeout runs.
    session.send_query(b"SELECT repeat('x', 1000) FROM generate_series(1, 100000)")
    try:
        yield
    finally:
        session.finish()


@pytest.fixture
async def read_side(database_url: str) -> AsyncGenerator[ReadSide]:
    async with ReadSide.open(database_url) as read_side:
        yield read_side


async def record(
    read_side: ReadSide, *events: Event, after: int = 0, stream: UUID | None = None
) -> UUID:
    """Record a new user, or more events of a user at version `after`."""
    stream = stream or uuid7()
    key = (await read_side.events.log.load(stream)).key if after else None
    await read_side.events.log.append(
        Draft(
            kind="user",
            stream=stream,
            after_version=after,
            events=events,
            context=context(),
            key=key,
        )
    )
    return stream


def registered(name: str = "Zoë") -> UserRegistered:
    return UserRegistered(name=name, email=f"{name}@example.org", role="member")


def renamed(name: str) -> UserRenamed:
    return UserRenamed(name=name, previous=PreviousName("?"))


async def load(read_side: ReadSide, seconds: float) -> None:
    """Register and change users for some time, a few hundred events a second."""
    until = asyncio.get_running_loop().time() + seconds

    async def person() -> None:
        while asyncio.get_running_loop().time() < until:
            stream = await record(read_side, registered("Ada"))
            for version in range(1, random.randrange(2, 9)):
                events = (renamed(f"Ada {version}"), UserSuspended(), UserDeleted(), UserRestored())
                await record(read_side, random.choice(events), after=version, stream=stream)

    await asyncio.gather(*(person() for _ in range(6)))


def projector_process(url: str) -> AbstractAsyncContextManager[Process]:
    return module_process("tests.support.processes.projector", url)


async def wait_for_lead(read_side: ReadSide, seconds: float = 10) -> None:
    async with asyncio.timeout(seconds):
        while any(s.state == "stopped" for s in (await read_side.queries.projections()).value):
            await asyncio.sleep(0.02)


async def test_a_frozen_leader_is_replaced_in_two_seconds_and_the_view_never_goes_back(
    read_side: ReadSide,
) -> None:
    for _ in range(scaled(1)):
        async with projector_process(read_side.url) as first:
            await wait_for_lead(read_side)
            async with projector_process(read_side.url):
                working = asyncio.create_task(load(read_side, 3))
                await asyncio.sleep(random.uniform(0.5, 1))
                first.send_signal(signal.SIGSTOP)
                began = asyncio.get_running_loop().time()
                stream = await record(read_side, registered("After"))
                seen = await read_side.events.feed.head()
                await _until_seen(read_side, stream, seen)
                assert asyncio.get_running_loop().time() - began < 4
                first.send_signal(signal.SIGCONT)
                await working
                await read_side.caught_up()
                assert await read_side.differences() == []


async def _until_seen(read_side: ReadSide, stream: UUID, position: int) -> None:
    async with asyncio.timeout(10):
        while (await read_side.queries.user(stream)).position < position:
            await asyncio.sleep(0.02)


async def test_a_leader_that_is_frozen_in_the_middle_of_an_answer_is_replaced(
    read_side: ReadSide,
) -> None:
    slot = Slot(USERS)
    with frozen_session(read_side.url, f"SELECT pg_advisory_lock({lock_of(USERS.name, 1)})"):
        async with asyncio.timeout(6), read_side.views.lead(slot) as writer:
            assert writer.position == 0


@pytest.mark.parametrize(
    "statement",
    ["UPDATE checkpoints SET position = position", "SELECT FROM checkpoints FOR UPDATE"],
    ids=["page", "retry"],
)
async def test_work_that_is_frozen_in_the_middle_of_an_answer_stops_no_other_leader(
    read_side: ReadSide, statement: str
) -> None:
    await record(read_side, registered())
    with frozen_session(read_side.url, f"BEGIN; {statement}"):
        async with read_side.projecting(), asyncio.timeout(6):
            await read_side.caught_up()


async def test_sessions_ended_under_load_leave_no_trace(read_side: ReadSide) -> None:
    end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND starts_with(application_name, 'rollbook')"
    async with read_side.projecting():
        working = asyncio.create_task(load(read_side, 3))
        for _ in range(6):
            await asyncio.sleep(random.uniform(0.3, 0.6))
            await execute(read_side.url, end, name_of(read_side.url))
        await working
        await read_side.caught_up()
    assert await read_side.differences() == []
    assert await execute(read_side.url, "SELECT * FROM parked") == []


async def test_a_view_that_the_server_refuses_parks_only_its_stream(read_side: ReadSide) -> None:
    async with read_side.projecting():
        bad = await record(read_side, registered(), renamed("a\x00b"))
        good = [await record(read_side, registered(f"N{n}")) for n in range(30)]
        await read_side.caught_up()
        await record(read_side, renamed("later"), after=2, stream=bad)
        await record(read_side, renamed("later still"), after=3, stream=bad)
        await record(read_side, renamed("N0 again"), after=1, stream=good[0])
        await read_side.caught_up()
        users = (await read_side.queries.projections()).value[0]
    assert (users.parked, users.state) == (1, "parked")
    parked = await execute(
        read_side.url, "SELECT projection, stream, version, last_version, error FROM parked"
    )
    assert parked == [("users", bad, 2, 4, "UntranslatableCharacter")]
    shown = await asyncio.gather(*(read_side.queries.user(user) for user in good))
    assert [a.value and a.value.name for a in shown] == ["N0 again"] + [
        f"N{n}" for n in range(1, 30)
    ]
    assert await read_side.differences() == []


async def test_an_event_of_an_unknown_type_parks_its_stream(read_side: ReadSide) -> None:
    stream = await record(read_side, registered())
    await execute(
        read_side.url,
        """INSERT INTO stored_events SELECT originator_id, 2, 'user.from_the_future', state,
        nextval('stored_events_notification_id_seq'), tenant, kind, gen_random_uuid(), actor,
        on_behalf_of, correlation_id, causation_id, recorded_at FROM stored_events""",
    )
    async with read_side.projecting():
        await record(read_side, registered("Bo"))
        await read_side.caught_up()
    parked = await execute(
        read_side.url, "SELECT projection, stream, version FROM parked ORDER BY 1"
    )
    assert parked == [("headcount", stream, 2), ("users", stream, 2)]
    assert await read_side.differences() == []


async def test_a_missing_table_parks_nothing_and_the_projector_waits_for_it(
    read_side: ReadSide,
) -> None:
    await execute(read_side.url, "ALTER TABLE headcount_g1 RENAME TO away")
    async with read_side.projecting():
        await record(read_side, registered())
        await asyncio.sleep(0.5)
        await execute(read_side.url, "ALTER TABLE away RENAME TO headcount_g1")
        await read_side.caught_up()
    assert await execute(read_side.url, "SELECT * FROM parked") == []
    assert await read_side.differences() == []


async def test_a_difference_is_found_in_rows_and_counters(read_side: ReadSide) -> None:
    async with read_side.projecting():
        stream = await record(read_side, registered())
        await read_side.caught_up()
    await execute(read_side.url, "UPDATE users_g1 SET name = 'Somebody'")
    await execute(
        read_side.url, "UPDATE headcount_g1_counters SET value = 7 WHERE counter ~ 'role'"
    )
    users, headcount = await read_side.differences()
    assert (users.streams, users.counters) == ({stream}, frozenset())
    assert (headcount.streams, headcount.counters) == (frozenset(), {"role:member"})


async def test_six_processes_may_make_the_views_at_once(database_url: str) -> None:
    made = await asyncio.gather(*(ensure_views(database_url, PROJECTIONS) for _ in range(6)))
    assert all(slots == made[0] for slots in made)
    assert [str(slot) for slot in made[0]] == ["users/1/0", "headcount/1/0"]
    checkpoints = await execute(database_url, "SELECT projection, position FROM checkpoints")
    assert sorted(checkpoints) == [("headcount", 0), ("users", 0)]
