"""Bodies that take the most time within the limits: refused early, or accepted in full."""

from collections.abc import AsyncGenerator
from typing import Any

import pytest
from httpx2 import AsyncClient

from tests.support.hostile.worst_requests import refused_bodies
from tests.support.http.directory import ADA, Directory

JSON = {"Content-Type": "application/json"}


@pytest.fixture
async def admin() -> AsyncGenerator[AsyncClient]:
    async with Directory().as_("admin") as client:
        yield client


async def test_a_body_of_countless_values_is_refused_before_it_is_decoded(
    admin: AsyncClient,
) -> None:
    for item in (b"[]", b"{}", b"1", b"null", b'""', b'{"a":1}'):
        items = b",".join([item] * 100_000)
        body = b'{"name": "Ada", "email": "ada@example.org", "attributes": {"a": [%s]}}' % items
        answer = await admin.post("/v1/users", content=body, headers=JSON)
        assert answer.status_code == 400
        detail = "The body has more than 24,576 commas, colons, brackets and backslashes."
        assert answer.json()["detail"] == detail


async def test_the_type_of_a_body_of_countless_values_is_checked_first(admin: AsyncClient) -> None:
    headers = {"Content-Type": "text/plain"}
    answer = await admin.post("/v1/users", content=b"[" + b"1," * 30_000, headers=headers)
    assert answer.status_code == 415


@pytest.mark.parametrize("name", refused_bodies())
async def test_the_worst_bodies_are_refused_with_a_problem(admin: AsyncClient, name: str) -> None:
    body = refused_bodies()[name]
    assert len(body) <= 1024 * 1024
    answer = await admin.post("/v1/users", content=body, headers=JSON)
    assert answer.status_code in (400, 422)
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert len(answer.content) < 64 * 1024


FULL: list[dict[str, Any]] = [
    {"a": [1] * 8_180},
    {"a": [[]] * 5_450},
    {"a": "," * 16_370},
    {"a": "\\" * 8_180},
    {"a": "[{:" * 5_450},
    {"a": {f"{number:03x}": 1 for number in range(2_000)}},
]


@pytest.mark.parametrize("attributes", FULL)
async def test_every_value_within_the_limits_fits_into_a_body(
    admin: AsyncClient, attributes: dict[str, Any]
) -> None:
    created = await admin.post("/v1/users", json={**ADA, "attributes": attributes})
    assert created.status_code == 201
    assert created.json()["attributes"] == attributes
    replaced = {"attributes": {"a": None, "b": attributes["a"]}}
    path = f"/v1/users/{created.json()['id']}"
    answer = await admin.patch(path, json=replaced)
    assert (answer.status_code, answer.json()["attributes"]) == (200, {"b": attributes["a"]})


async def test_all_members_of_an_attribute_can_be_removed_and_as_many_set_in_one_patch(
    admin: AsyncClient,
) -> None:
    before = {f"{number:03x}": 1 for number in range(2_000)}
    user = (await admin.post("/v1/users", json={**ADA, "attributes": {"a": before}})).json()
    patch = {"a": {**dict.fromkeys(before), **{f"x{number:03x}": 1 for number in range(1_600)}}}
    answer = await admin.patch(f"/v1/users/{user['id']}", json={"attributes": patch})
    assert answer.status_code == 200, answer.text
    assert len(answer.json()["attributes"]["a"]) == 1_600


@pytest.mark.parametrize(
    "patch",
    [
        {"a": "x" * 48 * 1024},
        {f"{number}": None for number in range(6_000)},
        {"a": {"b": {"c": {"d": {"e": {"f": {"g": {"h": {}}}}}}}}},
        {"": None},
    ],
)
async def test_a_patch_is_limited_before_the_user_is_read(
    admin: AsyncClient, patch: dict[str, Any]
) -> None:
    path = "/v1/users/018f0000-0000-7000-8000-000000000009"
    answer = await admin.patch(path, json={"attributes": patch})
    assert answer.status_code == 422
    assert [error["pointer"] for error in answer.json()["errors"]] == ["#/attributes"]


async def test_a_body_of_spaces_up_to_the_limit_is_accepted(admin: AsyncClient) -> None:
    body = b'{"name": "Ada", "email": "ada@example.org"}'
    answer = await admin.post("/v1/users", content=body.rjust(1024 * 1024), headers=JSON)
    assert answer.status_code == 201


async def test_a_long_name_of_an_unknown_member_is_cut_in_the_pointer(admin: AsyncClient) -> None:
    answer = await admin.post("/v1/users", json={**ADA, "x" * 100_000: 1})
    assert [error["pointer"] for error in answer.json()["errors"]] == ["#/" + "x" * 200]
