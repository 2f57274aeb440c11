"""Lists of users, on views that real projectors made of a real log: order, filters, words."""

from collections.abc import AsyncGenerator
from typing import Any

import pytest
from uuid_utils.compat import uuid7

from application.queries.directory import UserList
from domain.user.events import UserDeleted, UserErased, UserSuspended
from projections.users import UserView
from tests.support.views.directory import ReadSide
from tests.support.views.histories import registered


@pytest.fixture
async def directory(database_url: str) -> AsyncGenerator[ReadSide]:
    async with ReadSide.open(database_url) as read_side:
        yield read_side


async def all_pages(directory: ReadSide, limit: int, **asked: Any) -> list[UserView]:
    query = UserList(limit=limit, **asked)
    found: list[UserView] = []
    while True:
        page = (await directory.queries.users(query)).value
        found += page.items
        if page.next is None:
            return found
        query = UserList(limit=limit, after=page.next, **asked)


@pytest.mark.parametrize("sort", ["name", "email", "created_at", "updated_at"])
@pytest.mark.parametrize("descending", [False, True])
async def test_pages_are_one_list_in_order(
    directory: ReadSide, sort: Any, descending: bool
) -> None:
    people = ["Zoë", "zoe", "Ángel", "anna", "Ødegård", "李雷", "Émile", "Zoë", "Bo", "eve"]
    async with directory.projecting():
        for n, name in enumerate(people):
            await directory.record(registered(name=name, email=f"{name[0]}{n % 3}@example.org"))
        await directory.caught_up()
    whole = await all_pages(directory, 200, sort=sort, descending=descending)
    assert len(whole) == len(people)
    for limit in (1, 3, 10):
        assert await all_pages(directory, limit, sort=sort, descending=descending) == whole
    if sort == "name":
        order = ["Ángel", "anna", "Bo", "Émile", "eve", "zoe", "Zoë", "Zoë", "Ødegård", "李雷"]
        shown = [user.name or "" for user in whole]
        expected = [name.lower().replace("ë", "e") for name in order]
        found = [name.lower().replace("ë", "e") for name in shown]
        assert found == (expected[::-1] if descending else expected)
    if sort in ("created_at", "updated_at"):
        assert [user.name for user in whole] == (people[::-1] if descending else people)


async def test_a_cursor_keeps_its_place_while_users_are_added(directory: ReadSide) -> None:
    async with directory.projecting():
        for name in ("b", "d", "f"):
            await directory.record(registered(name=name))
        await directory.caught_up()
        first = (await directory.queries.users(UserList(sort="name", limit=2))).value
        for name in ("a", "c", "e"):
            await directory.record(registered(name=name))
        await directory.caught_up()
    assert first.next is not None
    assert await directory.names(sort="name", after=first.next) == ["e", "f"]


async def test_filters_narrow_a_list_alone_and_together(directory: ReadSide) -> None:
    async with directory.projecting():
        ada = await directory.record(
            registered(name="Ada", email="Ada@Bücher.example", role="admin")
        )
        await directory.record(registered(name="Bob", external_id="b-1", email="bob@example.org"))
        await directory.record(registered(name="Sue", role="guest"), UserSuspended())
        await directory.record(registered(name="Del"), UserDeleted())
        await directory.record(registered(name="Era"), UserErased())
        await directory.caught_up()
    assert await directory.names() == ["Ada", "Bob", "Sue"]
    assert await directory.names(statuses=("suspended", "deleted")) == ["Sue", "Del"]
    assert await directory.names(statuses=("erased",)) == [None]
    assert await directory.names(roles=("admin", "guest")) == ["Ada", "Sue"]
    assert await directory.names(emails=("ada@xn--bcher-kva.example",)) == ["Ada"]
    assert await directory.names(external_ids=("b-1", "b-2")) == ["Bob"]
    assert await directory.names(ids=(ada, uuid7())) == ["Ada"]
    assert await directory.names(ids=(ada,), roles=("guest",)) == []


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("lov", ["Ada Lovelace"]),
        ("LOVELACE ada", ["Ada Lovelace"]),
        ("ad gug", []),
        ("gödel", ["Kurt Gödel"]),
        ("godel princeton", ["Kurt Gödel"]),
        ("kurt.g@prince", ["Kurt Gödel"]),
        ("a", ["Ada Lovelace", "Ödön O'Añez"]),
        ("o'an", ["Ödön O'Añez"]),
        ("añez", ["Ödön O'Añez"]),
        ("' & !:* | \\", []),
        ("", []),
    ],
)
async def test_words_find_names_and_addresses_by_prefix(
    directory: ReadSide, words: str, found: list[str]
) -> None:
    async with directory.projecting():
        await directory.record(registered(name="Ada Lovelace", email="countess@x.org"))
        await directory.record(registered(name="Kurt Gödel", email="Kurt.G@princeton.edu"))
        await directory.record(registered(name="Ödön O'Añez", email="oe@x.org"))
        await directory.caught_up()
    assert await directory.names(words=words) == found
