"""A walk through all pages of a list under writes sees each unchanged user exactly once."""

import asyncio
import itertools
import random
from collections import Counter
from uuid import UUID

from application.queries.directory import UserList
from domain.event import Event
from domain.user.events import (
    PreviousName,
    PreviousRole,
    UserDeleted,
    UserRenamed,
    UserRoleChanged,
    UserSuspended,
)
from tests.support.log.drafts import change
from tests.support.run.background import in_background
from tests.support.servers.postgres import scaled
from tests.support.views.directory import ReadSide
from tests.support.views.histories import registered
from tests.support.views.rebuilding import Rebuilder

UNCHANGED = 40
SORTS = [
    f"{sign}{name}"
    for name, sign in itertools.product(("name", "email", "created_at", "updated_at"), ("", "-"))
]


async def test_each_unchanged_user_is_seen_once_in_every_order(database_url: str) -> None:
    chance = random.Random(4)
    async with Rebuilder.open(database_url) as rebuilder, rebuilder.projecting():
        directory = rebuilder.read_side
        unchanged = [await add_user(directory, chance) for _ in range(UNCHANGED)]
        changing = [await add_user(directory, chance) for _ in range(UNCHANGED)]
        await rebuilder.caught_up()
        async with in_background(writing(directory, chance, changing)):
            # The walks begin in one generation and end in the next.
            rebuilding = asyncio.create_task(rebuilder.rebuild())
            for _ in range(scaled(1)):
                walks = [seen(directory, sort, words) for sort in SORTS for words in (None, "a")]
                for found in await asyncio.gather(*walks):
                    assert [found[user] for user in unchanged] == [1] * UNCHANGED
            await rebuilding


async def add_user(directory: ReadSide, chance: random.Random) -> UUID:
    """Record a user with a name that others have too, so that only the id decides the order."""
    name = f"{chance.choice('abcd')} a{chance.randrange(3)}"
    return await directory.record(registered(name=name, email=f"{name[0]}@example.org"))


async def writing(directory: ReadSide, chance: random.Random, users: list[UUID]) -> None:
    """Register, rename, promote, suspend and delete users, without end."""
    versions = dict.fromkeys(users, 1)
    while True:
        user = chance.choice(list(versions))
        event: Event = chance.choice(
            (
                UserRenamed(name=f"{chance.choice('abcd')} a", previous=PreviousName("a")),
                UserRoleChanged(role="owner", previous=PreviousRole("member")),
                UserSuspended(),
                UserDeleted(),
            )
        )
        key = (await directory.events.log.load(user)).key
        await directory.events.log.append(change(user, versions[user], event, sealed_with=key))
        versions[user] += 1
        if isinstance(event, UserDeleted):
            del versions[user]
            versions[await add_user(directory, chance)] = 1
        await asyncio.sleep(0.005)


async def seen(directory: ReadSide, sort: str, words: str | None) -> Counter[UUID]:
    """How often each user is on all pages of a list."""
    asked = UserList(
        sort=sort.removeprefix("-"),  # pyright: ignore[reportArgumentType]
        descending=sort.startswith("-"),
        words=words,
        limit=7,
    )
    found: Counter[UUID] = Counter()
    query = asked
    while True:
        page = (await directory.queries.users(query)).value
        found.update(user.id for user in page.items)
        if page.next is None:
            return found
        await asyncio.sleep(0.02)
        query = UserList(
            sort=asked.sort, descending=asked.descending, words=words, limit=7, after=page.next
        )
