"""The view of one stream in each generation, over HTTP."""

import asyncio
from typing import Any, Final

from httpx2 import AsyncClient

from interfaces.roles import Roles
from tests.support.http.directory import ADA
from tests.support.http.in_process import in_process
from tests.support.views.directory import execute

ROLES: Final[Roles] = frozenset({"api", "projector", "worker"})


async def rebuilt(client: AsyncClient) -> None:
    job = (await client.post("/v1/projections/users/rebuild")).raise_for_status().json()["id"]
    async with asyncio.timeout(60):
        while (await client.get(f"/v1/jobs/{job}")).json()["state"] != "succeeded":
            await asyncio.sleep(0.05)


async def stored(client: AsyncClient, user: str, name: str = "users") -> list[dict[str, Any]]:
    answer = await client.get(f"/v1/projections/{name}/views/{user}")
    assert answer.status_code == 200, answer.text
    assert answer.json()["next_cursor"] is None
    return answer.json()["items"]


async def test_the_view_of_a_user_is_shown_in_each_generation(database_url: str) -> None:
    async with in_process(database_url, ROLES) as client:
        user = (await client.post("/v1/users", json=ADA)).raise_for_status().json()["id"]
        await rebuilt(client)
        await execute(database_url, "UPDATE users_g1 SET name = 'Wrong'")
        new, former = await stored(client, user)
        assert [
            (each["generation"], each["serving"], each["version"]) for each in (new, former)
        ] == [
            (2, True, 1),
            (1, False, 1),
        ]
        assert (new["view"]["name"], former["view"]["name"]) == ("Ada Lovelace", "Wrong")
        assert new["view"]["email"] == "ada@example.org"
        [counted] = await stored(client, user, "headcount")
        assert (counted["generation"], counted["version"]) == (1, 1)


async def test_an_erased_person_has_no_view_left(database_url: str) -> None:
    async with in_process(database_url, ROLES) as client:
        user = (await client.post("/v1/users", json=ADA)).raise_for_status().json()["id"]
        (await client.post(f"/v1/users/{user}/erase")).raise_for_status()
        [item] = await stored(client, user)
        assert item["version"] == 2
        assert "Ada" not in str(item)


async def test_an_unknown_stream_or_projection_has_none(database_url: str) -> None:
    unknown = "018f0000-0000-7000-8000-00000000ffff"
    async with in_process(database_url) as client:
        for path in (f"users/views/{unknown}", f"nothing/views/{unknown}", "users/views/none"):
            answer = await client.get(f"/v1/projections/{path}")
            assert (answer.status_code, answer.json()["type"]) == (404, "/problems/not-found")
