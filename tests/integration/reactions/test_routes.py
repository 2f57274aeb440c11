"""Administration of reactions over HTTP: permissions, answers and refusals."""

from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from uuid import UUID

import pytest
from httpx2 import AsyncClient
from uuid_utils.compat import uuid7

from application.reactions.admin import ParkedUser
from tests.support.http.directory import Directory

STREAM = "019a8f2e-6c1b-7d3a-9f00-2b1c4d5e6f70"
COMMANDS = ("enable", "disable", f"parked/{STREAM}/retry", f"parked/{STREAM}/skip")
PATH = "/v1/reactions"


@pytest.fixture
def directory() -> Directory:
    return Directory()


@pytest.fixture
async def admin(directory: Directory) -> AsyncGenerator[AsyncClient]:
    async with directory.as_("admin") as client:
        yield client


def body_of(command: str) -> dict[str, str]:
    return {"reason": "left"} if command.endswith("skip") else {}


def parked(directory: Directory, position: int = 7) -> UUID:
    """A user that is parked for the reaction."""
    user = uuid7()
    directory.reactions.place(
        "greet",
        ParkedUser(
            user=user,
            position=position,
            event_id=uuid7(),
            type="user.registered",
            error="the address is refused",
            tries=1,
            parked_at=datetime(2026, 1, 2, tzinfo=UTC),
            waiting=2,
        ),
    )
    return user


async def test_the_list_says_what_happens_by_itself(admin: AsyncClient) -> None:
    answer = await admin.get(PATH)
    (item,) = answer.json()["items"]
    assert answer.headers["Rollbook-Position"] == "0"
    assert item["description"] == "Greets a new user."
    assert (item["name"], item["types"]) == ("greet", ["user.registered"])
    assert (item["state"], item["reason"]) == ("off", "no worker has started yet")
    assert (item["enabled"], item["available"], item["queued"], item["parked"]) == (
        True,
        False,
        0,
        0,
    )


async def test_a_reaction_is_disabled_and_enabled(admin: AsyncClient) -> None:
    off = (await admin.post(f"{PATH}/greet/disable")).json()
    assert (off["enabled"], off["state"], off["reason"]) == (
        False,
        "off",
        "disabled by token:admin",
    )
    again = (await admin.post(f"{PATH}/greet/disable")).json()
    assert again["changed_at"] == off["changed_at"]
    on = (await admin.post(f"{PATH}/greet/enable", json={})).json()
    assert (on["enabled"], on["changed_by"]) == (True, "token:admin")


async def test_parked_users_are_listed_in_pages(directory: Directory, admin: AsyncClient) -> None:
    users = [str(parked(directory, position)) for position in (1, 2, 3)]
    first = (await admin.get(f"{PATH}/greet/parked", params={"limit": 2})).json()
    assert [item["user"] for item in first["items"]] == users[:2]
    assert first["items"][0]["error"] == "the address is refused"
    assert first["items"][0]["waiting"] == 2
    query = {"limit": 2, "cursor": first["next_cursor"]}
    rest = (await admin.get(f"{PATH}/greet/parked", params=query)).json()
    assert ([item["user"] for item in rest["items"]], rest["next_cursor"]) == (users[2:], None)


@pytest.mark.parametrize(("command", "state"), [("retry", "queued"), ("skip", "skipped")])
async def test_a_parked_user_is_retried_or_skipped(
    directory: Directory, admin: AsyncClient, command: str, state: str
) -> None:
    user = parked(directory)
    path = f"{PATH}/greet/parked/{user}/{command}"
    answer = await admin.post(path, json=body_of(command))
    assert answer.status_code == 200
    assert answer.json() == {"reaction": "greet", "user": str(user), "state": state}
    again = await admin.post(path, json=body_of(command))
    assert (again.status_code, again.json()["type"]) == (404, "/problems/not-found")


async def test_a_skip_needs_a_reason(directory: Directory, admin: AsyncClient) -> None:
    user = parked(directory)
    answer = await admin.post(f"{PATH}/greet/parked/{user}/skip", json={})
    assert answer.status_code == 422
    assert [error["pointer"] for error in answer.json()["errors"]] == ["#/reason"]


@pytest.mark.parametrize("command", COMMANDS)
async def test_an_unknown_reaction_is_not_found(admin: AsyncClient, command: str) -> None:
    answer = await admin.post(f"{PATH}/nothing/{command}", json=body_of(command))
    assert answer.status_code == 404
    assert answer.json()["detail"] == "There is no such reaction. There are: greet."


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("token", ["writer", "auditor"])
async def test_only_administrators_may_change_reactions(
    directory: Directory, token: str, command: str
) -> None:
    async with directory.as_(token) as client:
        answer = await client.post(f"{PATH}/greet/{command}", json=body_of(command))
        listed = await client.get(PATH)
    assert (answer.status_code, listed.status_code) == (403, 403)


async def test_an_id_that_is_none_is_not_found(admin: AsyncClient) -> None:
    assert (await admin.post(f"{PATH}/greet/parked/ada/retry")).status_code == 404
