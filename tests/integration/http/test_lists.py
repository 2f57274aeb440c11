"""Lists of users: filters, order, pages and cursors."""

import pytest
from httpx2 import AsyncClient

from tests.support.http.directory import Directory, registered


@pytest.fixture
async def names(admin: AsyncClient) -> list[str]:
    """The names of five users, in the order of their registration."""
    names = ["Dora", "Ben", "Eva", "Ada", "Cem"]
    for name in names:
        await registered(
            admin,
            name=name,
            email=f"{name}@example.org",
            external_id=f"hr-{name}",
            role="owner" if name == "Eva" else "member",
        )
    return names


async def listed(client: AsyncClient, **parameters: str | int) -> list[str]:
    answer = await client.get("/v1/users", params=parameters)
    assert answer.status_code == 200, answer.text
    return [user["name"] for user in answer.json()["items"]]


async def refused(client: AsyncClient, query: str) -> list[str]:
    answer = await client.get(f"/v1/users?{query}")
    assert answer.status_code == 422
    return [error["pointer"] for error in answer.json()["errors"]]


async def test_a_list_names_its_position_and_no_cursor_at_its_end(
    admin: AsyncClient, names: list[str]
) -> None:
    answer = await admin.get("/v1/users")
    assert answer.json().keys() == {"items", "next_cursor", "position"}
    assert answer.json()["next_cursor"] is None
    assert answer.json()["position"] == len(names)
    assert answer.headers["Rollbook-Position"] == str(len(names))


async def test_filters_narrow_a_list_together(admin: AsyncClient, names: list[str]) -> None:
    assert await listed(admin, q="da") == []
    assert await listed(admin, q="ad") == ["Ada"]
    assert await listed(admin, email="ADA@example.org,eva@EXAMPLE.org") == ["Eva", "Ada"]
    assert await listed(admin, external_id="hr-Ben") == ["Ben"]
    assert await listed(admin, role="owner,member", q="ev") == ["Eva"]
    assert await listed(admin, role="guest") == []


async def test_deleted_users_are_listed_only_if_requested(
    admin: AsyncClient, names: list[str]
) -> None:
    users = (await admin.get("/v1/users")).json()["items"]
    await admin.delete(f"/v1/users/{users[0]['id']}")
    assert await listed(admin) == names[1:]
    assert await listed(admin, status="deleted") == names[:1]
    assert await listed(admin, status="active,deleted") == names
    assert await listed(admin, ids=users[1]["id"]) == [names[1]]


@pytest.mark.parametrize("sort", ["name", "-name", "email", "created_at", "-created_at"])
@pytest.mark.parametrize("limit", [1, 2, 5])
async def test_following_the_cursors_lists_every_user_once(
    admin: AsyncClient, names: list[str], sort: str, limit: int
) -> None:
    parameters: dict[str, str | int] = {"sort": sort, "limit": limit}
    seen: list[str] = []
    while True:
        page = (await admin.get("/v1/users", params=parameters)).json()
        seen += [user["name"] for user in page["items"]]
        if page["next_cursor"] is None:
            break
        parameters["cursor"] = page["next_cursor"]
    in_order = names if sort.endswith("created_at") else sorted(names)
    assert seen == (in_order[::-1] if sort.startswith("-") else in_order)


async def test_a_cursor_reveals_nothing_and_cannot_be_changed(
    admin: AsyncClient, names: list[str]
) -> None:
    page = (await admin.get("/v1/users?sort=name&limit=1")).json()
    cursor: str = page["next_cursor"]
    assert "ada" not in cursor.casefold()
    spellings = (f"{cursor[:5]}!{cursor[5:]}", f"{cursor}=", f"{cursor}==", f"{cursor}%0A")
    for wrong in (cursor[:-2], cursor[1:], "A" * len(cursor), "", "näh", "x" * 5000, *spellings):
        assert await refused(admin, f"sort=name&limit=1&cursor={wrong}") == ["cursor"]


async def test_a_cursor_belongs_to_its_filters_and_order(
    directory: Directory, admin: AsyncClient, names: list[str]
) -> None:
    cursor = (await admin.get("/v1/users?sort=name&limit=1")).json()["next_cursor"]
    for other in ("sort=-name", "sort=email", "sort=name&role=member", "sort=name&q=a"):
        assert await refused(admin, f"{other}&cursor={cursor}") == ["cursor"]
    assert len(await listed(admin, sort="name", limit=3, cursor=cursor)) == 3


@pytest.mark.parametrize(
    ("query", "pointers"),
    [
        ("limit=0", ["limit"]),
        ("limit=201", ["limit"]),
        ("limit=-1", ["limit"]),
        ("limit=abc", ["limit"]),
        ("limit=1_0", ["limit"]),
        ("limit=+1", ["limit"]),
        ("limit=%D9%A1", ["limit"]),
        ("sort=age", ["sort"]),
        ("status=gone", ["status"]),
        ("role=Owner", ["role"]),
        ("email=nobody", ["email"]),
        ("ids=1,2", ["ids"]),
        ("ids=" + ",".join(["018f0000-0000-7000-8000-000000000001"] * 201), ["ids"]),
        ("q=" + "x" * 201, ["q"]),
        ("q=%00", ["q"]),
        ("page=2", ["page"]),
        ("limit=0&sort=age&page=2", ["sort", "limit", "page"]),
        ("role=a&role=b", ["role"]),
    ],
)
async def test_wrong_parameters_are_reported(
    admin: AsyncClient, query: str, pointers: list[str]
) -> None:
    assert await refused(admin, query) == pointers


@pytest.mark.parametrize("query", ["q=%ff", "&".join(f"p{n}=1" for n in range(99)), "q=%ed%a0%80"])
async def test_a_query_string_that_cannot_be_read_is_malformed(
    admin: AsyncClient, query: str
) -> None:
    assert (await admin.get(f"/v1/users?{query}")).status_code == 400
