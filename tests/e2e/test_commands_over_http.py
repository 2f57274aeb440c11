"""Concurrent commands over HTTP: one user per address, no lost patch, one effect per key."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from statistics import median
from time import monotonic
from typing import Any, Final

import httpx2
import pytest
from httpx2 import AsyncClient

from tests.support.http.load import client_of
from tests.support.servers.postgres import scaled
from tests.support.servers.prepared_data import prepared
from tests.support.servers.rollbook import RunningRollbook

# Eight spellings of the address of one mailbox: case, width and the two forms of a domain.
SPELLINGS: Final = (
    "{0}@bücher.example",
    "{0}@xn--bcher-kva.example",
    "{1}@bücher.example",
    "{1}@BÜCHER.example",
    " {0}@bücher.example",
    "{0}@Xn--Bcher-Kva.EXAMPLE",
    "{2}@bücher.example",
    "{2}@bücher.EXAMPLE",
)
# An idle machine needs some 5 ms.
READ_SECONDS: Final = 0.1

Answers = list[httpx2.Response]


@pytest.fixture(scope="module")
def rollbook(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningRollbook]:
    with RunningRollbook(prepared(tmp_path_factory.mktemp("commands") / "data")) as rollbook:
        yield rollbook


@pytest.fixture
async def client(rollbook: RunningRollbook) -> AsyncIterator[AsyncClient]:
    async with client_of(rollbook.url, rollbook.token) as client:
        yield client


async def register(client: AsyncClient, email: str, key: str | None = None) -> httpx2.Response:
    headers = {"Idempotency-Key": key} if key else {}
    body = {"name": "Åsa Öberg", "email": email}
    return await client.post("/v1/users", json=body, headers=headers)


async def registered(client: AsyncClient, email: str) -> str:
    answer = await register(client, email)
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


def outcomes(answers: Answers) -> Counter[tuple[int, str]]:
    """The count of each pair of status and problem type."""
    return Counter((answer.status_code, answer.json().get("type", "")) for answer in answers)


async def test_one_address_in_many_spellings_gives_one_user_and_other_registrations_succeed(
    client: AsyncClient,
) -> None:
    wide = str.maketrans({"r": "\uff52"})
    contested = [
        spelling.format(name, name.upper(), name.translate(wide))
        for name in (f"reader{number}" for number in range(8))
        for spelling in SPELLINGS
    ]
    free = [f"other{number}@example.com" for number in range(200)]
    answers = await asyncio.gather(*(register(client, one) for one in [*contested, *free]))
    assert outcomes(answers[: len(contested)]) == {
        (201, ""): 8,
        (409, "/problems/email-taken"): 56,
    }
    assert outcomes(answers[len(contested) :]) == {(201, ""): 200}
    holders = {one.json()["id"] for one in answers[: len(contested)] if one.is_success}
    assert {one.json()["holder"] for one in answers if one.status_code == 409} == holders


async def test_twenty_concurrent_patches_of_one_user_all_succeed_and_none_is_lost(
    client: AsyncClient,
) -> None:
    user = await registered(client, "patched@example.com")
    answers = await asyncio.gather(
        *(
            client.patch(f"/v1/users/{user}", json={"attributes": {f"key{number}": number}})
            for number in range(20)
        )
    )
    assert outcomes(answers) == {(200, ""): 20}
    assert sorted(answer.json()["version"] for answer in answers) == list(range(2, 22))
    now = (await client.get(f"/v1/users/{user}")).json()
    assert now["attributes"] == {f"key{number}": number for number in range(20)}


async def test_twenty_concurrent_registrations_with_one_key_give_one_user_and_one_answer(
    client: AsyncClient,
) -> None:
    answers = await asyncio.gather(
        *(register(client, "repeated@example.com", key="once") for _ in range(20))
    )
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.content for answer in answers}) == 1
    receipt_headers = ("Location", "ETag", "Rollbook-Position")
    assert len({tuple(answer.headers[name] for name in receipt_headers) for answer in answers}) == 1
    repeats = [answer for answer in answers if "Idempotency-Replayed" in answer.headers]
    assert len(repeats) == 19
    (event,) = await events_of(client, answers[0].json()["id"])
    assert event["position"] == answers[0].headers["Rollbook-Position"]


async def test_twenty_concurrent_changes_with_one_key_are_one_change(client: AsyncClient) -> None:
    user = await registered(client, "changed@example.com")
    headers = {"Idempotency-Key": "change-once"}
    answers = await asyncio.gather(
        *(
            client.patch(f"/v1/users/{user}", json={"role": "owner"}, headers=headers)
            for _ in range(20)
        )
    )
    assert outcomes(answers) == {(200, ""): 20}
    assert {answer.json()["version"] for answer in answers} == {2}
    assert sum("Idempotency-Replayed" in answer.headers for answer in answers) == 19
    assert len(await events_of(client, user)) == 2


async def test_a_query_with_the_position_of_a_command_shows_its_effect(
    client: AsyncClient,
) -> None:
    took: list[float] = []
    active = (await client.get("/v1/stats")).json()["active"]
    for number in range(scaled(40)):
        answer = await register(client, f"reader-{number}@example.net")
        position = answer.headers["Rollbook-Position"]
        since = {"Rollbook-Min-Position": position}
        began = monotonic()
        listed = await client.get(
            "/v1/users", params={"q": f"reader-{number}@example.net"}, headers=since
        )
        took.append(monotonic() - began)
        stats = await client.get("/v1/stats", headers=since)
        assert [user["id"] for user in listed.json()["items"]] == [answer.json()["id"]]
        assert stats.json()["active"] == active + number + 1
        assert min(listed.json()["position"], stats.json()["position"]) >= int(position)
    assert median(took) < READ_SECONDS


async def events_of(client: AsyncClient, user: str) -> list[dict[str, Any]]:
    return (await client.get("/v1/events", params={"user": user})).json()["items"]
