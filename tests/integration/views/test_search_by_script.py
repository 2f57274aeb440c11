"""Searches in many scripts, answered by Postgres."""

from collections.abc import AsyncGenerator
from typing import Any

import pytest

from application.queries.directory import UserList
from tests.support.views.directory import ReadSide
from tests.support.views.histories import registered
from tests.support.views.searches import SCRIPTS, WITHOUT_A_WORD


@pytest.fixture
async def directory(database_url: str) -> AsyncGenerator[ReadSide]:
    async with ReadSide.open(database_url) as read_side, read_side.projecting():
        cases = [case for script in SCRIPTS.values() for case in script]
        for n, case in enumerate(cases):
            await read_side.record(registered(name=case.name, email=f"{n}@example.org"))
        await read_side.caught_up()
        yield read_side


async def names(directory: ReadSide, **asked: Any) -> list[str | None]:
    page = (await directory.queries.users(UserList(limit=200, **asked))).value
    return [user.name for user in page.items]


@pytest.mark.parametrize("sort", ["name", "created_at"])
async def test_a_question_finds_the_names_that_have_its_words(
    directory: ReadSide, sort: Any
) -> None:
    for script, cases in SCRIPTS.items():
        for case in cases:
            for asked in case.finds:
                assert case.name in await names(directory, words=asked, sort=sort), (script, asked)
            for asked in case.misses:
                found = await names(directory, words=asked, sort=sort)
                assert case.name not in found, (script, asked)


async def test_a_question_without_a_word_finds_nothing(directory: ReadSide) -> None:
    for asked in WITHOUT_A_WORD:
        assert await names(directory, words=asked) == [], asked
    assert await names(directory, words=None) != []


async def test_the_whole_text_of_a_long_address_sorts(directory: ReadSide) -> None:
    long = "x" * 60 + "@" + ".".join(["y" * 60] * 3)
    ends = ["c", "a", "d", "b"]
    for end in ends:
        await directory.record(registered(name="Long", email=f"{long}{end}.org"))
    await directory.caught_up()
    query = UserList(limit=1, words="long", sort="email")
    found: list[str | None] = []
    while True:
        page = (await directory.queries.users(query)).value
        found += [user.email for user in page.items]
        if page.next is None:
            break
        query = UserList(limit=1, words="long", sort="email", after=page.next)
    assert found == [f"{long}{end}.org" for end in sorted(ends)]
