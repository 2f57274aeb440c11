"""A session ends in every process within 5 seconds, whatever ends it. Redis has no part in it."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack
from time import monotonic
from typing import Final

import pytest
from msgspec import Struct
from uuid_utils.compat import uuid7

from application.access.callers import Callers
from application.access.ports import Presented
from application.access.session_service import SessionService
from application.access.sessions import StartedSession
from application.identity import PRESETS, Principal
from infrastructure.database import Database
from infrastructure.identity.links import PostgresSignInLinks
from infrastructure.identity.sessions import PostgresSessions
from tests.support.doubles.credentials import InMemoryCredentials
from tests.support.http.preset_tokens import PresetTokens

FIXED: Final = b"the token of the settings"


class Process(Struct):
    """What one API process has, with a connection pool of its own."""

    callers: Callers
    service: SessionService
    database: Database

    async def knows(self, session: StartedSession) -> bool:
        return await self.callers.of(Presented("session", session.secret)) is not None


class World(Struct):
    """Two processes over one database, and a token that both know."""

    here: Process
    there: Process
    tokens: InMemoryCredentials
    token: Principal


@pytest.fixture
async def world(database_url: str) -> AsyncGenerator[World]:
    tokens = InMemoryCredentials("token")
    token = tokens.add("secret", Principal(actor="token:7", permissions=PRESETS["admin"]))
    processes = list[Process]()
    async with AsyncExitStack() as stack:
        for _ in range(2):
            database = await stack.enter_async_context(Database.open(database_url, size=2))
            sessions = PostgresSessions(database, FIXED, uuid7)
            links = PostgresSignInLinks(database, FIXED)
            callers = Callers(fixed=PresetTokens(), tokens=tokens, sessions=sessions)
            service = SessionService(sessions, sessions, links, tokens)
            stack.callback(asyncio.create_task(callers.run()).cancel)
            processes.append(Process(callers, service, database))
        yield World(processes[0], processes[1], tokens, token)


async def by_sign_out(world: World, session: StartedSession) -> None:
    await world.here.service.end(session.secret)


async def by_an_administrator(world: World, session: StartedSession) -> None:
    page = await world.here.service.page(None, before=None, limit=1)
    assert await world.here.service.end_one(page.items[0].id, None) is not None


async def by_another_sign_in(world: World, session: StartedSession) -> None:
    await world.here.service.start(world.token, former=session.secret)


async def by_its_token(world: World, session: StartedSession) -> None:
    world.tokens.revoke("secret")


async def by_its_expiry(world: World, session: StartedSession) -> None:
    await world.here.database.rows("UPDATE sessions SET expires_at = now() RETURNING 1")


async def by_twelve_idle_hours(world: World, session: StartedSession) -> None:
    await world.here.database.rows(
        "UPDATE sessions SET last_seen_at = now() - interval '12 hours' RETURNING 1"
    )


@pytest.mark.parametrize(
    "end",
    [
        by_sign_out,
        by_an_administrator,
        by_another_sign_in,
        by_its_token,
        by_its_expiry,
        by_twelve_idle_hours,
    ],
)
async def test_a_session_ends_in_every_process(
    world: World, end: Callable[[World, StartedSession], Awaitable[None]]
) -> None:
    session = await world.here.service.start(world.token, former=None)
    principal = await world.there.callers.of(Presented("session", session.secret))
    assert principal is not None
    assert await world.here.knows(session)
    stream = asyncio.create_task(world.there.callers.until_ended(principal))
    await asyncio.sleep(0)
    await end(world, session)
    ended = monotonic()
    while await world.here.knows(session) or await world.there.knows(session):
        assert monotonic() - ended < 5
        await asyncio.sleep(0.05)
    async with asyncio.timeout(10 - (monotonic() - ended)):
        await stream


async def test_of_ten_sign_ins_with_one_link_at_once_one_succeeds(world: World) -> None:
    link = await world.here.service.link(world.token, "ada")
    processes = [world.here, world.there] * 5
    started = await asyncio.gather(
        *(each.service.start_by_link(link.code, former=None) for each in processes)
    )
    sessions = [each for each in started if each is not None]
    assert len(sessions) == 1
    assert await world.here.knows(sessions[0])
    assert await world.there.knows(sessions[0])


async def test_the_use_of_a_session_is_noted_once_a_minute(world: World) -> None:
    session = await world.here.service.start(world.token, former=None)
    await world.here.database.rows(
        "UPDATE sessions SET last_seen_at = now() - interval '1 hour' RETURNING 1"
    )
    for process in (world.here, world.there):
        assert await process.knows(session)
    versions = "SELECT xmin::text, now() - last_seen_at < interval '10 seconds' FROM sessions"
    deadline = monotonic() + 5
    while not (rows := await world.here.database.rows(versions))[0][1]:
        assert monotonic() < deadline
        await asyncio.sleep(0.05)
    for _ in range(15):
        assert await world.here.knows(session)
        assert await world.there.knows(session)
        await asyncio.sleep(0.1)
    assert await world.here.database.rows(versions) == rows
