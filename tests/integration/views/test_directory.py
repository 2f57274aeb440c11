"""The queries of the directory, on views that real projectors made of a real log."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
from uuid_utils.compat import uuid7

from application.errors import PositionAhead, Unavailable, ViewBehind
from application.queries.directory import UserList
from domain.user.events import (
    PreviousRole,
    UserDeleted,
    UserErased,
    UserRoleChanged,
    UserSuspended,
)
from infrastructure.views.projector.ensure import ensure_views
from projections.registry import PROJECTIONS
from projections.users import UserView
from tests.support.servers.postgres import name_of
from tests.support.views.directory import ReadSide, execute
from tests.support.views.histories import registered
from tests.support.views.projectors import run_projectors


@pytest.fixture
async def directory(database_url: str) -> AsyncGenerator[ReadSide]:
    async with ReadSide.open(database_url) as read_side:
        yield read_side


async def test_a_user_is_shown_as_recorded(directory: ReadSide) -> None:
    async with directory.projecting():
        event = registered(external_id="e-1", attributes={"a": [1, None, "ü"]})
        stream = await directory.record(event)
        head = await directory.caught_up()
        answer = await directory.queries.user(stream)
    recorded_at = (await directory.events.feed.read(0, 9)).events[0].recorded_at
    assert answer.position == head
    assert answer.value is not None
    assert answer.value == UserView(
        id=stream,
        external_id="e-1",
        name="Zoë",
        email="Zoe@Example.com",
        role="member",
        status="active",
        attributes={"a": [1, None, "ü"]},
        version=1,
        created_at=recorded_at,
        updated_at=recorded_at,
    )
    assert {answer.value.created_at.tzinfo, answer.value.updated_at.tzinfo} == {UTC}


async def test_an_unknown_user_is_none_at_a_position(directory: ReadSide) -> None:
    answer = await directory.queries.user(uuid7())
    assert (answer.value, answer.position) == (None, 0)


async def test_a_caller_reads_its_own_write(directory: ReadSide) -> None:
    async with directory.projecting():
        await directory.caught_up()
        for _ in range(20):
            stream = await directory.record(registered())
            head = await directory.events.feed.head()
            user, page, stats = await asyncio.gather(
                directory.queries.user(stream, at_least=head),
                directory.queries.users(UserList(ids=(stream,)), at_least=head),
                directory.queries.stats(datetime.now(UTC), at_least=head),
            )
            assert user.value is not None
            assert len(page.value.items) == 1
            assert min(user.position, page.position, stats.position) >= head


async def test_a_view_that_stays_behind_is_an_error_after_two_seconds(directory: ReadSide) -> None:
    stream = await directory.record(registered())
    began = asyncio.get_running_loop().time()
    behind = await asyncio.gather(
        directory.queries.user(stream, at_least=1),
        directory.queries.users(UserList(), at_least=1),
        directory.queries.stats(datetime.now(UTC), at_least=1),
        return_exceptions=True,
    )
    assert [type(each) for each in behind] == [ViewBehind] * 3
    assert {each.position for each in behind if isinstance(each, ViewBehind)} == {0}
    assert 1.9 < asyncio.get_running_loop().time() - began < 3


async def test_a_position_above_the_head_is_refused_at_once(directory: ReadSide) -> None:
    await directory.record(registered())
    began = asyncio.get_running_loop().time()
    for question in (
        directory.queries.user(uuid7(), at_least=2),
        directory.queries.users(UserList(), at_least=2),
        directory.queries.stats(datetime.now(UTC), at_least=2),
    ):
        with pytest.raises(PositionAhead) as ahead:
            await question
        assert ahead.value.head == 1
    assert asyncio.get_running_loop().time() - began < 1


async def test_statistics_count_users_by_status_role_and_day(directory: ReadSide) -> None:
    change = UserRoleChanged(role="admin", previous=PreviousRole("member"))
    async with directory.projecting():
        await directory.record(registered(name="A"), change)
        await directory.record(registered(name="B"), UserSuspended())
        await directory.record(registered(name="C"), UserDeleted())
        await directory.record(registered(name="D"), UserErased())
        head = await directory.caught_up()
    now = datetime.now(UTC)
    answer = await directory.queries.stats(now)
    stats = answer.value
    assert answer.position == head
    assert (stats.active, stats.suspended, stats.deleted, stats.erased) == (1, 1, 1, 1)
    assert stats.total == 4
    assert stats.by_role == {"admin": 1, "member": 1}
    assert [day.count for day in stats.registered] == [0] * 29 + [4]
    assert stats.registered[-1].day == now.date().isoformat()
    assert stats.registered[0].day == (now - timedelta(days=29)).date().isoformat()
    assert stats.trend == "up"
    assert (await directory.queries.stats(now + timedelta(days=8))).value.trend == "down"
    assert (await directory.queries.stats(now + timedelta(days=14))).value.trend == "none"


async def test_projections_report_their_progress(directory: ReadSide) -> None:
    await directory.record(registered(name="A"))
    await asyncio.sleep(0.1)
    for status in (await directory.queries.projections()).value:
        assert (status.position, status.head, status.lag, status.state) == (0, 1, 1, "stopped")
        assert 0.1 <= status.lag_seconds < 10
    async with directory.projecting():
        await directory.caught_up()
        statuses = (await directory.queries.projections()).value
    assert [status.name for status in statuses] == ["users", "headcount"]
    for status in statuses:
        assert (status.position, status.lag, status.lag_seconds) == (1, 0, 0)
        assert (status.generation, status.parked, status.state) == (1, 0, "live")


async def test_queries_follow_a_switch_of_generations(directory: ReadSide) -> None:
    async with directory.projecting():
        stream = await directory.record(registered())
        head = await directory.caught_up()
        assert (await directory.queries.user(stream)).value is not None
    await execute(directory.url, "UPDATE projections SET generation = 2")
    slots = await ensure_views(directory.url, PROJECTIONS)
    behind = await directory.queries.user(stream)
    assert (behind.value, behind.position) == (None, 0)
    store, feed, doorbell = directory.views, directory.events.feed, directory.doorbell
    rebuilding = asyncio.create_task(run_projectors(slots, store, feed, doorbell))
    assert (await directory.queries.user(stream, at_least=head)).value is not None
    assert await directory.names() == ["Zoë"]
    rebuilding.cancel()
    await asyncio.gather(rebuilding, return_exceptions=True)


async def test_queries_do_not_need_a_generation_dropped_long_after_the_switch(
    directory: ReadSide,
) -> None:
    assert (await directory.queries.user(uuid7())).position == 0
    await execute(directory.url, "UPDATE projections SET generation = 2")
    await ensure_views(directory.url, PROJECTIONS)
    await execute(directory.url, "DROP TABLE users_g1")
    assert (await directory.queries.user(uuid7())).position == 0


async def test_queries_are_unavailable_while_the_server_is_away_and_recover(
    directory: ReadSide, postgres_url: str
) -> None:
    name = name_of(directory.url)
    stream = uuid7()
    async with directory.projecting():
        await directory.record(registered(), stream=stream)
        await directory.caught_up()
        await execute(postgres_url, f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s"
        await execute(postgres_url, end, name)
        began = asyncio.get_running_loop().time()
        for question in (
            directory.queries.user(stream),
            directory.queries.users(UserList()),
            directory.queries.stats(datetime.now(UTC)),
        ):
            with pytest.raises(Unavailable):
                await question
        assert asyncio.get_running_loop().time() - began < 3 * 3
        await execute(postgres_url, f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
        async with asyncio.timeout(10):
            while True:
                with suppress(Unavailable):
                    await directory.record(registered(name="Bo"))
                    break
        head = await directory.caught_up()
        assert (await directory.queries.user(stream, at_least=head)).value is not None
    assert await directory.differences() == []
