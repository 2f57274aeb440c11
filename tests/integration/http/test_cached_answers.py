"""Answers are the same with and without a cache before the views."""

from collections.abc import AsyncGenerator
from typing import Any

import pytest
from httpx2 import AsyncClient, Response

from tests.support.http.directory import Directory, registered
from tests.support.servers.redis_admin import RedisAdmin
from tests.support.views.cached_directory import cached

Both = tuple[AsyncClient, AsyncClient]


@pytest.fixture
async def both(redis: str) -> AsyncGenerator[Both]:
    """Two clients of one directory: the first reads from the views, the second through the cache."""
    directory = Directory()
    async with directory.as_("admin") as plain, cached(directory, redis):
        async with directory.as_("admin") as through_cache:
            yield plain, through_cache


def seen(answer: Response) -> tuple[int, bytes, dict[str, str]]:
    """Everything that a client sees, except the request id."""
    headers = {name: value for name, value in answer.headers.items() if name != "x-request-id"}
    return answer.status_code, answer.content, headers


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/v1/users/{active}", {}),
        ("/v1/users/{active}", {"If-None-Match": '"2"'}),
        ("/v1/users/{active}", {"If-None-Match": '"1"'}),
        ("/v1/users/{active}", {"If-None-Match": "2"}),
        ("/v1/users/{active}", {"Rollbook-Min-Position": "3"}),
        ("/v1/users/{active}", {"Rollbook-Min-Position": "9"}),
        ("/v1/users/{active}", {"Accept": "text/html"}),
        ("/v1/users/{active}?version=1", {}),
        ("/v1/users/{active}?other=1", {}),
        ("/v1/users/{deleted}", {}),
        ("/v1/users/{deleted}", {"If-None-Match": "*"}),
        ("/v1/users/018f0000-0000-7000-8000-00000000000f", {}),
        ("/v1/users/nobody", {}),
        ("/v1/users", {}),
        ("/v1/users", {"Accept-Encoding": "identity"}),
        ("/v1/users?q=Łódź&status=active,deleted&sort=-name&limit=1", {}),
        ("/v1/users?email=deleted@example.org&status=deleted", {}),
        ("/v1/users?email=nobody@example.org", {"Rollbook-Min-Position": "4"}),
        ("/v1/users", {"Rollbook-Min-Position": "9"}),
        ("/v1/users?cursor=none", {}),
        ("/v1/stats", {}),
        ("/v1/stats", {"Rollbook-Min-Position": "4"}),
        ("/v1/stats", {"Rollbook-Min-Position": "9"}),
    ],
)
async def test_an_answer_through_the_cache_is_the_same(
    both: Both, method: str, path: str, headers: dict[str, str]
) -> None:
    plain, through_cache = both
    active = await registered(plain, name="Łódź \u2028", attributes={"ü": [1, None, "</"]})
    deleted = await registered(plain, email="deleted@example.org")
    await plain.patch(f"/v1/users/{active['id']}", json={"role": "owner"})
    await plain.delete(f"/v1/users/{deleted['id']}")
    path = path.format(active=active["id"], deleted=deleted["id"])
    # The first list of a caller is recorded, so that the head moves; later ones move nothing.
    await plain.request(method, path, headers=headers)
    expected = seen(await plain.request(method, path, headers=headers))
    for _ in range(2):
        assert seen(await through_cache.request(method, path, headers=headers)) == expected


async def test_cached_bytes_are_sent_unchanged(both: Both, redis: str) -> None:
    """The server does not spend time on decoding and encoding them."""
    plain, through_cache = both
    user = await registered(plain)
    path = f"/v1/users/{user['id']}"
    assert (await through_cache.get(path)).json() == user
    for _ in range(2):
        await through_cache.get("/v1/stats")
    with RedisAdmin(redis) as admin:
        [key] = admin.keys(f"*:{user['id']}")
        log = key.split(".")[1]
        for key, value in admin.contents(f"*.{log}.*").items():
            head, newline, _ = value.partition(b"\n")
            admin.put(key, head + newline + b"not JSON" if newline else head)
        [pages] = admin.keys(f"*.{log}.*.headcount.*:pages")
        for name, value in admin.fields(pages).items():
            if name != b"size":
                mark, position, *_ = value.split(b"\n")
                admin.put_field(pages, name, mark + b"\n" + position + b"\nnot JSON")
    assert (await through_cache.get(path)).content == b"not JSON"
    assert (await through_cache.get("/v1/stats")).content == b"not JSON"


async def test_a_caller_reads_its_own_change_at_once(both: Both) -> None:
    _, through_cache = both
    user: dict[str, Any] = await registered(through_cache)
    path = f"/v1/users/{user['id']}"
    for version in range(2, 6):
        changed = await through_cache.patch(path, json={"name": f"Ada {version}"})
        read = await through_cache.get(path, headers={"If-None-Match": f'"{version - 1}"'})
        assert (read.status_code, read.content) == (200, changed.content)


async def test_paging_through_a_cached_list_shows_every_user_once(both: Both) -> None:
    """The cursors of a cached page also work for other readers."""
    plain, through_cache = both
    people = [await registered(plain, email=f"{n}@example.org") for n in range(5)]
    found, cursor = list[str](), dict[str, str]()
    for _ in range(2):
        found.clear()
        cursor = dict[str, str]()
        while True:
            page = await through_cache.get("/v1/users", params={"limit": "2", **cursor})
            found += [each["id"] for each in page.json()["items"]]
            if page.json()["next_cursor"] is None:
                break
            cursor = {"cursor": page.json()["next_cursor"]}
        assert found == [each["id"] for each in people]
    continued = await plain.get("/v1/users", params={"limit": "3", **cursor})
    assert [each["id"] for each in continued.json()["items"]] == found[4:]


async def test_a_list_shows_each_change_of_the_same_caller(both: Both) -> None:
    _, through_cache = both
    user = await registered(through_cache)
    path = f"/v1/users/{user['id']}"
    for name in ("Zoë", "李雷"):
        await through_cache.patch(path, json={"name": name})
        for _ in range(2):
            listed = (await through_cache.get("/v1/users")).json()
            assert [each["name"] for each in listed["items"]] == [name]
    await through_cache.delete(path)
    for _ in range(2):
        assert (await through_cache.get("/v1/users")).json()["items"] == []
