"""Rebuilding a projection: the new generation equals the one that projectors made."""

import asyncio
import random
from collections.abc import AsyncGenerator
from typing import Any
from uuid import UUID

import pytest
from uuid_utils.compat import uuid7

from application.log.event_log import Draft
from application.projector.rebuild import prepare
from application.projector.refold import unskip
from application.projector.retry import retry, skip
from application.projector.view_store import Slot
from domain.event import Event
from domain.user.events import (
    PreviousName,
    UserAttributesChanged,
    UserDeleted,
    UserErased,
    UserRegistered,
    UserRenamed,
    UserRestored,
    UserSuspended,
)
from projections.registry import PROJECTIONS
from tests.support.log.drafts import context
from tests.support.servers.postgres import scaled
from tests.support.views.directory import execute
from tests.support.views.rebuilding import Rebuilder, ignore_progress
from tests.support.views.registrations import NEWCOMERS


@pytest.fixture
async def rebuilder(database_url: str) -> AsyncGenerator[Rebuilder]:
    async with Rebuilder.open(database_url, [*PROJECTIONS, NEWCOMERS]) as rebuilder:
        yield rebuilder


def registered(name: str = "Zoë") -> UserRegistered:
    attributes: dict[str, Any] = {"floor": 3, "phones": ["+46 1"], "note": "a\\b\t'c'\n"}
    return UserRegistered(
        name=name, email=f"{name.strip(chr(0))}@example.org", role="member", attributes=attributes
    )


def renamed(name: str) -> UserRenamed:
    return UserRenamed(name=name, previous=PreviousName("?"))


async def record(rebuilder: Rebuilder, stream: UUID, after: int, *events: Event) -> None:
    """Record more events of a user."""
    log = rebuilder.read_side.events.log
    key = (await log.load(stream)).key if after else None
    await log.append(
        Draft(
            kind="user",
            stream=stream,
            after_version=after,
            events=events,
            context=context(),
            key=key,
            destroy_key=any(isinstance(event, UserErased) for event in events),
        )
    )


async def histories(rebuilder: Rebuilder, chance: random.Random, users: int) -> None:
    """Record users with random histories, a few at once, so that they are mixed in the log."""

    async def user() -> None:
        stream = uuid7()
        names = (
            "Zoë",
            "Ærø Straße",
            "tab\tand\\slash",
            'O\'Neill "x"',
            "李雷",
            "bad one",
            "",
            "a\nb",
        )
        await record(rebuilder, stream, 0, registered(chance.choice(names)))
        for version in range(1, chance.randrange(1, 9)):
            events: tuple[Event, ...] = (
                renamed(chance.choice((*names, "\x00")) if version > 5 else chance.choice(names)),
                UserSuspended(),
                UserAttributesChanged(set={"n": chance.random()}, removed=(), previous={}),
                UserDeleted(reason="left"),
                UserRestored(),
                UserErased(),
            )
            event = chance.choices(events, (4, 1, 2, 1, 1, 1))[0]
            await record(rebuilder, stream, version, event)
            if isinstance(event, UserErased):
                return

    room = asyncio.Semaphore(8)

    async def one() -> None:
        async with room:
            await user()

    await asyncio.gather(*(one() for _ in range(users)))


async def shown(rebuilder: Rebuilder, name: str, generation: int) -> Any:
    """All that a generation stores."""
    shot = await rebuilder.read_side.snapshot(Slot(rebuilder.projections[name], generation))
    parked = await execute(
        rebuilder.url,
        """SELECT stream, version, position, event_id, error FROM parked
        WHERE projection = %s AND generation = %s ORDER BY 1, 2""",
        name,
        generation,
    )
    return shot, parked


@pytest.mark.parametrize("name", ["users", "headcount", "newcomers"])
async def test_a_rebuilt_generation_equals_the_one_that_projectors_made(
    rebuilder: Rebuilder, name: str
) -> None:
    """With erased people, parked events and skipped events."""
    chance = random.Random(1)
    projection = rebuilder.projections[name]
    async with rebuilder.projecting():
        for built in range(2, scaled(1) + 2):
            await histories(rebuilder, chance, 24)
            await rebuilder.caught_up(name)
            await skip_some(rebuilder, name, chance)
            async with rebuilder.ports.generations.build(projection, "test") as build:
                await prepare(build, rebuilder.ports, ignore_progress)
            await histories(rebuilder, chance, 5)
            await rebuilder.caught_up(name)
            # An event that cannot be folded may be foldable after its person is erased.
            await retry_all(rebuilder, name)
            after = await shown(rebuilder, name, built)
            assert after == await shown(rebuilder, name, 1)
            assert after[0].entries
            assert await rebuilder.differences() == []
            await execute(rebuilder.url, "UPDATE generations SET served_at = now()")


async def retry_all(rebuilder: Rebuilder, name: str) -> None:
    for (stream,) in await parked_streams(rebuilder, name):
        await retry(name, stream, rebuilder.ports.parked_streams, rebuilder.ports.events_by_stream)


async def parked_streams(rebuilder: Rebuilder, name: str) -> list[tuple[UUID]]:
    query = "SELECT DISTINCT stream FROM parked WHERE projection = %s"
    return await execute(rebuilder.url, query, name)


async def skip_some(rebuilder: Rebuilder, name: str, chance: random.Random) -> None:
    """Skip the first event of some parked streams; take some skips back."""
    ports = rebuilder.ports
    first = "SELECT stream, version FROM parked WHERE projection = %s AND generation = 1"
    for stream, version in await execute(rebuilder.url, first, name):
        if chance.random() < 0.5:
            await skip(
                name,
                stream,
                version,
                "why not",
                "test",
                ports.parked_streams,
                ports.events_by_stream,
            )
    skipped = "SELECT stream, version FROM skipped WHERE projection = %s ORDER BY position"
    for stream, version in await execute(rebuilder.url, skipped, name):
        if chance.random() < 0.3:
            await unskip(
                name,
                stream,
                version,
                "test",
                ports.removed_skips,
                ports.parked_streams,
                ports.events_by_stream,
            )
