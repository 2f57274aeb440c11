"""Addresses and external ids: one holder each, in any spelling, and free at once after release.

Import keys also have one holder, but are never free again.
"""

from typing import Any
from uuid import UUID

import pytest
from httpx2 import AsyncClient, Response
from uuid_utils.compat import uuid7

from application.context import Context
from domain.user.commands import EraseUser
from tests.support.http.directory import ADA, Directory, registered

FREED = ["changed", "deleted", "erased"]
KEY = "external_id:e-1042"
OTHER = {**ADA, "email": "other@example.org", "import_key": KEY}


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


async def second(client: AsyncClient, **fields: Any) -> tuple[int, dict[str, Any]]:
    answer = await client.post("/v1/users", json={**OTHER, **fields})
    return answer.status_code, answer.json()


async def test_a_second_user_with_an_import_key_is_refused(admin: AsyncClient) -> None:
    await registered(admin, import_key=KEY)
    status, problem = await second(admin)
    assert (status, problem["type"]) == (409, "/problems/user-exists")
    assert (await second(admin, import_key="external_id:e-1043"))[0] == 201


async def test_neither_a_change_nor_a_deletion_frees_the_import_key(admin: AsyncClient) -> None:
    user = await registered(admin, import_key=KEY)
    path = f"/v1/users/{user['id']}"
    await admin.patch(path, json={"email": "new@example.org", "name": "New"})
    assert (await second(admin))[0] == 409
    await admin.delete(path)
    assert (await second(admin))[0] == 409
    await admin.post(f"{path}/restore")
    assert (await second(admin))[0] == 409


async def test_an_erasure_does_not_free_the_import_key_and_the_answer_names_no_user(
    directory: Directory, admin: AsyncClient
) -> None:
    user = await registered(admin, import_key=KEY)
    context = Context(actor="system:test", correlation_id="erasure")
    await directory.services.commands.execute(UUID(user["id"]), EraseUser(), context)
    status, problem = await second(admin)
    assert (status, problem["type"]) == (410, "/problems/user-erased")
    assert user["id"] not in str(problem)


async def test_the_import_key_is_not_stored(directory: Directory, admin: AsyncClient) -> None:
    user = await registered(admin, import_key=KEY)
    events = (await admin.get("/v1/events")).json()
    shown = (await admin.get(f"/v1/users/{user['id']}")).json()
    assert len(events["items"]) == 1
    assert KEY not in str(events) + str(shown)
    assert KEY not in user["id"]


async def test_a_repeat_with_its_idempotency_key_is_answered_as_before(admin: AsyncClient) -> None:
    headers = {"Idempotency-Key": "k"}
    first = await admin.post("/v1/users", json=OTHER, headers=headers)
    again = await admin.post("/v1/users", json=OTHER, headers=headers)
    assert (again.status_code, again.json()) == (201, first.json())
    assert again.headers["Idempotency-Replayed"] == "true"


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"id": str(uuid7())}, "#/import_key"),
        ({"import_key": ""}, "#/import_key"),
        ({"import_key": "x" * 1025}, "#/import_key"),
        ({"import_key": "a\u0007b"}, "#/import_key"),
        ({"import_key": 7}, "#/import_key"),
    ],
)
async def test_an_import_key_that_cannot_be_used_is_refused(
    admin: AsyncClient, fields: dict[str, Any], pointer: str
) -> None:
    status, problem = await second(admin, **fields)
    assert (status, [error["pointer"] for error in problem["errors"]]) == (422, [pointer])
