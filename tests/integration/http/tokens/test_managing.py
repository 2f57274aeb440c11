"""Tokens over HTTP: what each operation takes, answers and refuses."""

from datetime import UTC, datetime
from typing import Any, Final

import pytest
from httpx2 import AsyncClient

from tests.support.http.directory import Directory, registered

ALL: Final = "/v1/tokens"
CRM: Final = {"name": "crm", "preset": "reader"}
ADMIN: Final = ["users:read", "users:write", "events:read", "audit:read", "admin"]


async def create(admin: AsyncClient, **fields: Any) -> dict[str, Any]:
    answer = await admin.post(ALL, json={**CRM, **fields})
    assert answer.status_code == 201, answer.text
    return answer.json()


def seconds_from_now(moment: str) -> float:
    return (datetime.fromisoformat(moment) - datetime.now(UTC)).total_seconds()


async def test_a_token_is_created_with_a_secret_that_is_shown_once(admin: AsyncClient) -> None:
    await registered(admin)
    answer = await admin.post(ALL, json={**CRM, "name": " crm "})
    body = answer.json()
    assert answer.status_code == 201
    assert answer.headers["Location"] == f"{ALL}/{body['id']}"
    assert answer.headers["Rollbook-Position"] == "2"
    assert body.pop("token").startswith("rbk_")
    assert abs(seconds_from_now(body["created_at"])) < 60
    assert body == {
        "id": body["id"],
        "name": "crm",
        "permissions": ["users:read", "events:read"],
        "created_at": body["created_at"],
        "expires_at": None,
        "last_used_at": None,
        "created_by": "token:admin",
        "former_expires_at": None,
    }
    read = await admin.get(f"{ALL}/{body['id']}")
    assert read.json() == body
    assert read.headers["Rollbook-Position"] == "2"
    listed = (await admin.get(ALL)).json()
    assert listed == {"items": [body], "next_cursor": None, "position": 2}


@pytest.mark.parametrize(
    ("given", "permissions"),
    [
        ({"preset": "writer"}, ["users:read", "users:write", "events:read"]),
        ({"preset": "auditor"}, ["users:read", "events:read", "audit:read"]),
        ({"preset": "admin"}, ADMIN),
        ({"permissions": ["audit:read", "users:read", "audit:read"]}, ["users:read", "audit:read"]),
        ({"permissions": ["admin"], "preset": None}, ["admin"]),
    ],
)
async def test_permissions_are_those_of_a_preset_or_a_list(
    admin: AsyncClient, given: dict[str, Any], permissions: list[str]
) -> None:
    answer = await admin.post(ALL, json={"name": "crm", **given})
    assert answer.json()["permissions"] == permissions


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"name": ""}, "#/name"),
        ({"name": "a" * 101}, "#/name"),
        ({"name": "a\nb"}, "#/name"),
        ({"name": None}, "#/name"),
        ({"preset": "owner"}, "#/preset"),
        ({"preset": None}, "#"),
        ({"permissions": ["users:read"]}, "#"),
        ({"preset": None, "permissions": []}, "#/permissions"),
        ({"preset": None, "permissions": ["users:delete"]}, "#/permissions"),
        ({"preset": None, "permissions": "admin"}, "#/permissions"),
        ({"preset": None, "permissions": [1]}, "#/permissions"),
        ({"preset": None, "permissions": [["admin"]]}, "#/permissions"),
        ({"preset": None, "permissions": ["admin"] * 6}, "#/permissions"),
        ({"expires_at": "2020-01-01T00:00:00Z"}, "#/expires_at"),
        ({"expires_at": "tomorrow"}, "#/expires_at"),
        ({"expires_at": 3600}, "#/expires_at"),
        ({"token": "rbk_mine"}, "#/token"),
    ],
)
async def test_a_value_that_is_not_acceptable_is_named(
    admin: AsyncClient, fields: dict[str, Any], pointer: str
) -> None:
    answer = await admin.post(ALL, json={**CRM, **fields})
    assert answer.status_code == 422, answer.text
    assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]
    assert (await admin.get(ALL)).json()["items"] == []


async def test_a_body_is_required(admin: AsyncClient) -> None:
    assert (await admin.post(ALL)).status_code == 400


async def test_an_expiry_is_kept_in_utc(admin: AsyncClient) -> None:
    token = await create(admin, expires_at="2099-03-01T10:30:00+01:00")
    assert token["expires_at"] == "2099-03-01T09:30:00.000000Z"


async def test_a_rotation_shows_the_new_secret_and_when_the_former_one_ends(
    admin: AsyncClient,
) -> None:
    token = await create(admin)
    path = f"{ALL}/{token['id']}/rotate"
    overlapping = (await admin.post(path, json={"overlap_seconds": 3600})).json()
    assert overlapping["token"] not in (token["token"], None)
    assert 3500 < seconds_from_now(overlapping["former_expires_at"]) <= 3600
    at_once = (await admin.post(path)).json()
    assert at_once["former_expires_at"] is None
    unchanged = ("id", "name", "permissions", "created_at", "expires_at", "created_by")
    assert {name: at_once[name] for name in unchanged} == {name: token[name] for name in unchanged}
    assert "token" not in (await admin.get(f"{ALL}/{token['id']}")).json()


@pytest.mark.parametrize("overlap", [-1, 86_401, 1.5, "60", None, True])
async def test_an_overlap_is_a_day_at_most(admin: AsyncClient, overlap: Any) -> None:
    token = await create(admin)
    answer = await admin.post(f"{ALL}/{token['id']}/rotate", json={"overlap_seconds": overlap})
    assert answer.status_code == 422
    assert [error["pointer"] for error in answer.json()["errors"]] == ["#/overlap_seconds"]


async def test_a_revoked_token_is_not_found_and_is_revoked_once(admin: AsyncClient) -> None:
    token = await create(admin)
    path = f"{ALL}/{token['id']}"
    revoked = await admin.delete(path)
    assert (revoked.status_code, revoked.content) == (204, b"")
    again = await admin.delete(path)
    assert again.status_code == 204
    assert again.headers["Rollbook-Position"] == revoked.headers["Rollbook-Position"]
    assert (await admin.get(path)).status_code == 404
    assert (await admin.post(f"{path}/rotate")).status_code == 404
    assert (await admin.get(ALL)).json()["items"] == []
    events = (await admin.get("/v1/events", params={"types": "token.*"})).json()["items"]
    assert [each["type"] for each in events] == ["token.issued", "token.revoked"]


@pytest.mark.parametrize(
    "token_id",
    ["01890a5d-ac96-774b-bcce-b302099a8057", "crm", "00000000-0000-0000-0000-000000000000"],
)
async def test_an_unknown_token_is_not_found(admin: AsyncClient, token_id: str) -> None:
    path = f"{ALL}/{token_id}"
    for answer in (
        await admin.get(path),
        await admin.delete(path),
        await admin.post(f"{path}/rotate"),
    ):
        assert answer.status_code == 404
        assert answer.json()["type"] == "/problems/not-found"


async def test_a_user_is_no_token(admin: AsyncClient) -> None:
    path = f"{ALL}/{(await registered(admin))['id']}"
    assert (await admin.get(path)).status_code == 404
    assert (await admin.delete(path)).status_code == 404


async def test_a_secret_is_shown_only_by_the_first_of_the_answers_to_a_key(
    admin: AsyncClient,
) -> None:
    first = await admin.post(ALL, json=CRM, headers={"Idempotency-Key": "k"})
    again = await admin.post(ALL, json=CRM, headers={"Idempotency-Key": "k"})
    assert again.headers["Idempotency-Replayed"] == "true"
    assert again.json() == {**first.json(), "token": None}
    path = f"{ALL}/{first.json()['id']}/rotate"
    rotated = await admin.post(path, headers={"Idempotency-Key": "l"})
    again = await admin.post(path, headers={"Idempotency-Key": "l"})
    assert again.json() == {**rotated.json(), "token": None}


async def test_the_list_has_pages(admin: AsyncClient) -> None:
    ids = [(await create(admin, name=f"n{number}"))["id"] for number in range(3)]
    first = (await admin.get(ALL, params={"limit": 2})).json()
    second = (await admin.get(ALL, params={"limit": 2, "cursor": first["next_cursor"]})).json()
    assert [each["id"] for each in (*first["items"], *second["items"])] == ids
    assert second["next_cursor"] is None
    assert (await admin.get(ALL, params={"cursor": "mine"})).status_code == 422


async def test_tokens_are_for_administrators_only(directory: Directory, admin: AsyncClient) -> None:
    path = f"{ALL}/{(await create(admin))['id']}"
    for name in ("writer", "auditor", "nobody"):
        async with directory.as_(name) as client:
            for answer in (
                await client.post(ALL, json=CRM),
                await client.get(ALL),
                await client.get(path),
                await client.post(f"{path}/rotate"),
                await client.delete(path),
            ):
                assert (answer.status_code, answer.json()["permission"]) == (403, "admin")


async def test_the_audit_says_who_changed_what(directory: Directory, admin: AsyncClient) -> None:
    token = await create(admin, expires_at="2099-01-01T00:00:00Z")
    path = f"{ALL}/{token['id']}"
    await directory.issued_tokens.callers.used(
        [directory.issued_tokens.callers.credential(token["token"]) or ""]
    )
    rotated = (await admin.post(f"{path}/rotate", json={"overlap_seconds": 60})).json()
    await admin.delete(path)
    items = (await admin.get("/v1/audit", params={"types": "token.*"})).json()["items"]
    assert {item["type"]: (item["actor"], item["changes"]) for item in items} == {
        "token.issued": (
            "token:admin",
            {
                "name": {"from": None, "to": "crm"},
                "permissions": {"from": None, "to": ["events:read", "users:read"]},
                "expires_at": {"from": None, "to": "2099-01-01T00:00:00.000000Z"},
                "status": {"from": None, "to": "active"},
            },
        ),
        "token.first_used": (f"token:{token['id']}", {}),
        "token.rotated": (
            "token:admin",
            {"former_expires_at": {"from": None, "to": rotated["former_expires_at"]}},
        ),
        "token.revoked": ("token:admin", {"status": {"from": "active", "to": "revoked"}}),
    }
    async with directory.as_("auditor") as auditor:
        found = await auditor.get("/v1/audit", params={"types": "token.*"})
        assert found.json()["items"] == []
        assert (await auditor.get(f"/v1/users/{token['id']}/history")).status_code == 404


async def test_events_of_tokens_are_for_administrators_that_ask_and_have_no_secret(
    directory: Directory, admin: AsyncClient
) -> None:
    token = await create(admin)
    rotated = (await admin.post(f"{ALL}/{token['id']}/rotate", json={"overlap_seconds": 60})).json()
    answer = await admin.get("/v1/events", params={"types": "token.*"})
    issued, rotation = answer.json()["items"]
    assert issued["data"] == {
        "name": "crm",
        "permissions": ["events:read", "users:read"],
        "expires_at": None,
    }
    assert (issued["subject"], issued["personal"]) == (token["id"], "open")
    assert rotation["data"]["former_expires_at"] == rotated["former_expires_at"]
    callers = directory.issued_tokens.callers
    for secret in (token["token"], rotated["token"]):
        assert secret not in answer.text
        assert (callers.credential(secret) or "").partition(":")[2] not in answer.text
    assert (await admin.get("/v1/events")).json()["items"] == []
    async with directory.as_("reader") as reader:
        found = await reader.get("/v1/events", params={"types": "token.*,user.*"})
        assert found.json()["items"] == []
        assert (await reader.get(f"/v1/events/{issued['id']}")).status_code == 404
