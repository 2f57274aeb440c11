"""A request that is wrong in two ways is told about the one that the contract checks first."""

from itertools import combinations
from typing import Final

import msgspec
import pytest

from tests.directory import Directory, registered

# In the order of the contract; each is one way to be wrong, and what it is answered alone.
CHECKS: Final = {
    "method": (405, "method-not-allowed"),
    "token": (401, "unauthenticated"),
    "permission": (403, "forbidden"),
    "size": (413, "too-large"),
    "type": (415, "unsupported-media-type"),
    "syntax": (400, "malformed-request"),
    "fields": (422, "invalid-request"),
    "key": (422, "idempotency-mismatch"),
    "gone": (410, "user-deleted"),
    "version": (412, "version-conflict"),
    "claim": (409, "email-taken"),
}
PAIRS: Final = list(combinations(CHECKS, 2))


@pytest.mark.parametrize("wrong", CHECKS)
async def test_one_thing_wrong_is_reported(directory: Directory, wrong: str) -> None:
    assert await answer_to(directory, {wrong}) == CHECKS[wrong]


@pytest.mark.parametrize(("first", "second"), PAIRS)
async def test_of_two_things_wrong_the_first_is_reported(
    directory: Directory, first: str, second: str
) -> None:
    assert await answer_to(directory, {first, second}) == CHECKS[first]


async def test_a_request_with_nothing_wrong_succeeds(directory: Directory) -> None:
    assert await answer_to(directory, set()) == (200, "")


@pytest.mark.parametrize("second", ["method", "token", "permission", "syntax", "claim"])
async def test_an_unknown_route_is_not_found_whatever_else_is_wrong(
    directory: Directory, second: str
) -> None:
    path = "/v1/nothing-here"
    assert await answer_to(directory, {second}, path=path) == (404, "not-found")


@pytest.mark.parametrize(
    ("second", "first"),
    [("fields", CHECKS["fields"]), ("version", (404, "not-found")), ("claim", (404, "not-found"))],
)
async def test_an_unknown_user_is_not_found_after_the_fields_and_before_the_version(
    directory: Directory, second: str, first: tuple[int, str]
) -> None:
    path = "/v1/users/018f0000-0000-7000-8000-00000000ffff"
    assert await answer_to(directory, {second}, path=path) == first


async def answer_to(
    directory: Directory, wrong: set[str], path: str | None = None
) -> tuple[int, str]:
    """The status and problem that a change of a user is answered, wrong in the named ways."""
    async with directory.as_("writer") as client:
        user = await registered(client)
        await registered(client, email="taken@example.org")
        own = f"/v1/users/{user['id']}"
        first = {"Idempotency-Key": "used"}
        assert (await client.patch(own, json={"name": "Ada"}, headers=first)).is_success
        if "gone" in wrong:
            assert (await client.delete(own)).status_code == 204
    token = None if "token" in wrong else "reader" if "permission" in wrong else "writer"
    async with directory.as_(token) as client:
        answer = await client.request(
            "POST" if "method" in wrong else "PATCH",
            path or own,
            content=body(wrong),
            headers=headers(wrong),
        )
    if answer.is_success:
        return answer.status_code, ""
    assert answer.headers["Content-Type"] == "application/problem+json"
    return answer.status_code, answer.json()["type"].removeprefix("/problems/")


def body(wrong: set[str]) -> bytes:
    members: dict[str, object] = {"name": "Ada King"}
    if "fields" in wrong:
        members["nickname"] = "Ada"
    if "claim" in wrong:
        members["email"] = "TAKEN@example.org"
    encoded = msgspec.json.encode(members)
    if "syntax" in wrong:
        encoded = encoded[:-1]
    if "size" in wrong:
        encoded += b" " * 1024 * 1024
    return encoded


def headers(wrong: set[str]) -> dict[str, str]:
    sent = {"Content-Type": "text/plain" if "type" in wrong else "application/json"}
    if "key" in wrong:
        sent["Idempotency-Key"] = "used"
    if "version" in wrong:
        sent["If-Match"] = '"99"'
    return sent
