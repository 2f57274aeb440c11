"""Many rebuilds in a row: few generations are followed, and the earlier ones cost no connection."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from application.erasure.erased_views import ViewGeneration
from application.jobs.model import JobCancelled
from application.projector.generations import BuildLost
from application.projector.view_store import Slot
from domain.user.events import UserErased
from infrastructure.leadership import Lead
from infrastructure.postgres import connect
from infrastructure.views.generations import drop
from infrastructure.views.generations.erasures import PostgresErasedViews
from infrastructure.views.generations.expiry import PostgresExpiredGenerations
from infrastructure.views.generations.store import build_lock
from infrastructure.views.generations.switch import PostgresSwitch
from projections.users import USERS
from tests.integration.views.test_generations import append, registered, roll_back, serving
from tests.support.servers.postgres import scaled
from tests.support.views.directory import execute
from tests.support.views.rebuilding import Rebuilder

# Forty in a row in the long form, and ten do not have to wait in any.
IN_A_ROW = min(scaled(10), 40)
MAX_OF_A_ROLE = 12


class Crashed(Exception):
    """The process of the build ends here."""


@pytest.fixture
async def rebuilder(database_url: str) -> AsyncGenerator[Rebuilder]:
    async with Rebuilder.open(database_url) as rebuilder, rebuilder.projecting():
        await rebuilder.read_side.record(registered())
        await rebuilder.caught_up()
        yield rebuilder


async def sessions(rebuilder: Rebuilder) -> int:
    """The connections to the database, without our own."""
    query = """SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()"""
    return (await execute(rebuilder.url, query))[0][0]


async def test_many_rebuilds_in_a_row_leave_no_more_connections_and_followed_generations(
    rebuilder: Rebuilder,
) -> None:
    await rebuilder.rebuild()
    followed, connections = list[int](), list[int]()

    async def report(done: int, total: int | None) -> None:
        slots = [slot for slot in await rebuilder.slots.followed() if slot.projection is USERS]
        followed.append(len(slots))
        connections.append(await sessions(rebuilder))

    for _ in range(IN_A_ROW):
        await rebuilder.rebuild(report=report)
    assert max(followed) <= 3
    assert max(connections) <= MAX_OF_A_ROLE
    states = [state for _, state in await rebuilder.generations()]
    assert (states.count("following"), states.count("dropping")) == (2, IN_A_ROW)
    await execute(
        rebuilder.url, "UPDATE generations SET drop_after = now() WHERE state = 'dropping'"
    )
    dropped = await PostgresExpiredGenerations(rebuilder.database).drop_expired()
    assert len(dropped) == IN_A_ROW
    assert len(await rebuilder.generations()) == 2


async def test_an_erasure_waits_for_a_generation_that_is_not_followed_until_it_is_dropped(
    rebuilder: Rebuilder,
) -> None:
    stream = await rebuilder.read_side.record(registered("Secret"))
    await rebuilder.caught_up()
    for _ in range(2):
        await rebuilder.rebuild()
    await append(rebuilder, stream, UserErased(), 1)
    views = PostgresErasedViews(rebuilder.database)
    async with asyncio.timeout(10):
        while min(view.position for view in (await of_users(views)).values() if view.position) < 3:
            await asyncio.sleep(0.05)
    names = await execute(rebuilder.url, "SELECT name FROM users_g1 WHERE shown")
    assert ("Secret",) in names
    assert {number: view.position for number, view in (await of_users(views)).items()} == {
        1: 0,
        2: 3,
        3: 3,
    }
    await execute(
        rebuilder.url, "UPDATE generations SET drop_after = now() WHERE state = 'dropping'"
    )
    assert await PostgresExpiredGenerations(rebuilder.database).drop_expired() == ["users/1"]
    assert set(await of_users(views)) == {2, 3}


async def of_users(views: PostgresErasedViews) -> dict[int, ViewGeneration]:
    return {
        each.generation: each for each in await views.generations() if each.projection == "users"
    }


@pytest.mark.parametrize("how", ["verify", "cancel", "crash"])
async def test_a_build_that_never_serves_leaves_the_former_generation(
    rebuilder: Rebuilder, how: str
) -> None:
    """What can be rolled back to is retired and dropped by a switch, and by nothing before it."""
    await rebuilder.rebuild()

    async def report(done: int, total: int | None) -> None:
        assert await rebuilder.previous_generations.previous("users") == 1
        if (
            how != "verify"
            and total is not None
            and (3, "following") in await rebuilder.generations()
        ):
            raise JobCancelled if how == "cancel" else Crashed

    try:
        await rebuilder.rebuild(report=report, switch_if="never" if how == "verify" else "always")
    except (JobCancelled, Crashed):
        assert how != "verify"
    await PostgresExpiredGenerations(rebuilder.database).drop_expired()
    assert [state for number, state in await rebuilder.generations() if number < 3] == [
        "following",
        "following",
    ]
    await roll_back(rebuilder, **{"from": 2, "to": 1})
    assert await serving(rebuilder) == 1


async def test_a_builder_that_lost_its_lead_drops_nothing_and_switches_nothing(
    rebuilder: Rebuilder,
) -> None:
    """As after a freeze, when it does not know yet that another one leads."""
    async with rebuilder.ports.generations.build(USERS, "successor") as build:
        slot = Slot(USERS, build.progress.slot.generation)
        async with await connect(rebuilder.url, "test") as former:
            lead = Lead(former, build_lock("users"))
            await drop.drop(rebuilder.database, "users", slot.generation, lead=lead)
            await build.follow()
            async with PostgresSwitch[Any].open(rebuilder.database, slot, lead) as switch:
                with pytest.raises(BuildLost):
                    await switch.switch(None)
        assert await rebuilder.generations() == [(1, "following"), (2, "following")]
        assert await serving(rebuilder) == 1
        await build.drop()
    assert await rebuilder.generations() == [(1, "following")]
