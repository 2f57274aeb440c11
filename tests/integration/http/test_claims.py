"""Addresses and external ids: one holder each, in any spelling, and free at once after release."""

from typing import Any

import pytest
from httpx2 import AsyncClient, Response

from tests.support.http.directory import registered

FREED = ["changed", "deleted", "erased"]


async def free(client: AsyncClient, user: dict[str, Any], how: str, field: str) -> None:
    path = f"/v1/users/{user['id']}"
    if how == "changed":
        other = {"email": "elsewhere@example.org", "external_id": "elsewhere"}[field]
        answer = await client.patch(path, json={field: other})
    elif how == "removed":
        answer = await client.patch(path, json={field: None})
    elif how == "deleted":
        answer = await client.delete(path)
    else:
        answer = await client.post(f"{path}/erase")
    assert answer.is_success


def refusal(answer: Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["type"].removeprefix("/problems/")


@pytest.mark.parametrize("how", FREED)
async def test_an_address_can_be_claimed_again_at_once(admin: AsyncClient, how: str) -> None:
    first = await registered(admin, email="Åda@example.org")
    await free(admin, first, how, "email")
    second = await registered(admin, email="åda@EXAMPLE.org")
    if how == "deleted":
        restored = await admin.post(f"/v1/users/{first['id']}/restore")
        assert refusal(restored) == (409, "email-taken")
        assert restored.json()["holder"] == second["id"]


@pytest.mark.parametrize("how", [*FREED, "removed"])
async def test_an_external_id_can_be_claimed_again_at_once(admin: AsyncClient, how: str) -> None:
    first = await registered(admin, external_id="hr-7")
    await free(admin, first, how, "external_id")
    second = await registered(admin, email="ben@example.org", external_id="hr-7")
    if how == "deleted":
        await admin.patch(f"/v1/users/{second['id']}", json={"email": "other@example.org"})
        restored = await admin.post(f"/v1/users/{first['id']}/restore")
        assert refusal(restored) == (409, "external-id-taken")
        assert restored.json()["holder"] == second["id"]


@pytest.mark.parametrize("spelling", ["ADA@example.org", "ada@EXAMPLE.ORG", "ａda@example.org"])
async def test_a_change_of_spelling_is_recorded_and_keeps_the_claim(
    admin: AsyncClient, spelling: str
) -> None:
    user = await registered(admin)
    changed = await admin.patch(f"/v1/users/{user['id']}", json={"email": spelling})
    assert (changed.json()["email"], changed.json()["version"]) == (spelling, 2)
    other = await admin.post("/v1/users", json={"name": "Ben", "email": user["email"]})
    assert refusal(other) == (409, "email-taken")


async def test_external_ids_are_compared_exactly(admin: AsyncClient) -> None:
    for number, external_id in enumerate(["hr-7", "HR-7", "hr-7 ", "ｈr-7", "\u00e9", "e\u0301"]):
        user = await registered(admin, email=f"u{number}@example.org", external_id=external_id)
        assert user["external_id"] == external_id


@pytest.mark.parametrize(
    ("field", "one", "other", "third"),
    [
        ("email", "ada@example.org", "ben@example.org", "swap@example.org"),
        ("external_id", "hr-1", "hr-2", None),
    ],
)
async def test_a_swap_needs_a_third_value(
    admin: AsyncClient, field: str, one: str, other: str, third: str | None
) -> None:
    ada = await registered(admin, **{field: one})
    ben = await registered(admin, **{"email": "ben@example.org", field: other})

    async def change(user: dict[str, Any], value: str | None) -> Response:
        return await admin.patch(f"/v1/users/{user['id']}", json={field: value})

    taken = f"{field.replace('_', '-')}-taken"
    assert refusal(await change(ada, other)) == (409, taken)
    assert (await change(ada, third)).status_code == 200
    assert (await change(ben, one)).status_code == 200
    assert (await change(ada, other)).status_code == 200


async def test_if_both_values_are_taken_the_address_is_reported(admin: AsyncClient) -> None:
    ada = await registered(admin, external_id="hr-1")
    body = {"name": "Ben", "email": "ADA@example.org", "external_id": "hr-1"}
    answer = await admin.post("/v1/users", json=body)
    assert refusal(answer) == (409, "email-taken")
    assert answer.json()["holder"] == ada["id"]


async def test_only_an_administrator_sees_the_holder_of_a_value(
    admin: AsyncClient, writer: AsyncClient
) -> None:
    ada = await registered(admin, external_id="hr-1")
    for body in ({"email": "ada@example.org"}, {"email": "b@example.org", "external_id": "hr-1"}):
        to_admin = await admin.post("/v1/users", json={"name": "Ben", **body})
        to_writer = await writer.post("/v1/users", json={"name": "Ben", **body})
        assert to_admin.json()["holder"] == ada["id"]
        assert ada["id"] not in to_writer.text
        assert to_writer.json().items() <= to_admin.json().items()
