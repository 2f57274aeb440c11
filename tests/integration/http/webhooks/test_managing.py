"""Webhooks over HTTP: what each operation takes, answers and refuses."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from httpx2 import AsyncClient

from tests.support.http.directory import Directory, registered
from tests.support.http.webhooks import ALL, URL, create


async def test_a_webhook_is_created_with_a_secret_that_is_shown_once(admin: AsyncClient) -> None:
    await registered(admin)
    answer = await admin.post(ALL, json={"url": URL})
    body = answer.json()
    assert answer.headers["Location"] == f"{ALL}/{body['id']}"
    assert answer.headers["ETag"] == '"1"'
    assert answer.headers["Rollbook-Position"] == "2"
    assert body.pop("secret").startswith("whsec_")
    created_at = body.pop("created_at")
    assert body == {
        "id": body["id"],
        "url": URL,
        "types": ["user.*"],
        "user": None,
        "personal": "sealed",
        "opened_by": None,
        "description": None,
        "status": "active",
        "reason": None,
        "position": 2,
        "lag": 0,
        "delivered": 0,
        "failed": 0,
        "parked": 0,
        "last_success_at": None,
        "last_failure_at": None,
        "failing_since": None,
        "next_attempt_at": None,
        "created_by": "token:admin",
        "updated_at": created_at,
        "version": 1,
        "secrets": [{"version": 1, "expires_at": None}],
    }
    read = await admin.get(f"{ALL}/{body['id']}")
    assert read.json() == {**body, "created_at": created_at}
    assert (await admin.get(ALL)).json() == {
        "items": [read.json()],
        "next_cursor": None,
        "position": 2,
    }


async def test_everything_about_a_webhook_may_be_given(admin: AsyncClient) -> None:
    user = (await registered(admin))["id"]
    webhook = await create(
        admin,
        types=["user.renamed", "user.deleted", "user.renamed"],
        user=user,
        personal="open",
        description=" Payroll ",
        after=0,
    )
    assert webhook["types"] == ["user.deleted", "user.renamed"]
    assert (webhook["user"], webhook["description"]) == (user, "Payroll")
    assert webhook["opened_by"] == {"actor": "token:admin", "time": webhook["created_at"]}
    assert (webhook["position"], webhook["lag"]) == (0, 2)


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"url": None}, "#/url"),
        ({"url": ""}, "#/url"),
        ({"url": "https://h.example/" + "a" * 2048}, "#/url"),
        ({"url": "https://h.example/\n"}, "#/url"),
        ({"types": []}, "#/types"),
        ({"types": "user.*"}, "#/types"),
        ({"types": ["user.born"]}, "#/types"),
        ({"types": ["webhook.*"]}, "#/types"),
        ({"types": ["library.*"]}, "#/types"),
        ({"types": [1]}, "#/types"),
        ({"types": ["user.*"] * 100}, "#/types"),
        ({"user": "me"}, "#/user"),
        ({"personal": "erased"}, "#/personal"),
        ({"description": "a" * 501}, "#/description"),
        ({"description": "a\u202eb"}, "#/description"),
        ({"after": -1}, "#/after"),
        ({"after": 1}, "#/after"),
        ({"after": "0"}, "#/after"),
        ({"secret": "whsec_mine"}, "#/secret"),
    ],
)
async def test_a_value_that_is_not_acceptable_is_named(
    admin: AsyncClient, fields: dict[str, Any], pointer: str
) -> None:
    answer = await admin.post(ALL, json={"url": URL, **fields})
    assert answer.status_code == 422
    assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]
    assert (await admin.get(ALL)).json()["items"] == []


async def test_a_refused_target_is_named_at_creation_and_change(
    directory: Directory, admin: AsyncClient
) -> None:
    inside = "https://10.0.0.1/"
    directory.endpoints.refused[inside] = "address-not-public"
    webhook = await create(admin)
    for answer in (
        await admin.post(ALL, json={"url": inside}),
        await admin.patch(f"{ALL}/{webhook['id']}", json={"url": inside}),
    ):
        assert answer.status_code == 422
        assert [error["pointer"] for error in answer.json()["errors"]] == ["#/url"]
        assert inside not in answer.text
    assert (await admin.get(f"{ALL}/{webhook['id']}")).json()["url"] == URL


async def test_a_patch_changes_what_it_names(admin: AsyncClient) -> None:
    user = (await registered(admin))["id"]
    webhook = await create(admin, user=user, description="Payroll")
    path = f"{ALL}/{webhook['id']}"
    answer = await admin.patch(
        path,
        json={"url": "https://b.example/", "personal": "open", "user": None, "description": None},
        headers={"Content-Type": "application/merge-patch+json"},
    )
    changed = answer.json()
    assert answer.headers["ETag"] == '"5"'
    assert {name: changed[name] for name in changed if changed[name] != webhook.get(name)} == {
        "url": "https://b.example/",
        "personal": "open",
        "opened_by": {"actor": "token:admin", "time": changed["opened_by"]["time"]},
        "user": None,
        "description": None,
        "updated_at": changed["updated_at"],
        "version": 5,
        "lag": 4,
    }
    same = await admin.patch(path, json={"personal": "open"})
    assert same.json()["version"] == 5
    assert (await admin.patch(path, json={"after": 0})).status_code == 422
    assert (await admin.patch(path, json={"url": None})).status_code == 422


async def test_a_patch_may_require_a_version(admin: AsyncClient) -> None:
    webhook = await create(admin)
    path = f"{ALL}/{webhook['id']}"
    first = {"If-Match": '"1"'}
    one = await admin.patch(path, json={"description": "one"}, headers=first)
    assert one.status_code == 200
    answer = await admin.patch(path, json={"description": "two"}, headers=first)
    assert (answer.status_code, answer.json()["version"]) == (412, 2)
    assert (await admin.get(path)).json()["description"] == "one"


async def test_a_webhook_is_paused_and_resumed(admin: AsyncClient) -> None:
    webhook = await create(admin)
    path = f"{ALL}/{webhook['id']}"
    paused = (await admin.post(f"{path}/pause", json={"reason": "they move house"})).json()
    assert (paused["status"], paused["reason"], paused["version"]) == (
        "paused",
        "they move house",
        2,
    )
    resumed = (await admin.post(f"{path}/resume")).json()
    assert (resumed["status"], resumed["reason"], resumed["version"]) == ("active", None, 3)
    assert (await admin.post(f"{path}/resume")).json()["version"] == 3


async def test_a_rotation_shows_the_new_secret_and_when_the_former_one_ends(
    admin: AsyncClient,
) -> None:
    webhook = await create(admin)
    path = f"{ALL}/{webhook['id']}"
    rotated = (await admin.post(f"{path}/rotate-secret")).json()
    assert rotated["secret"] != webhook["secret"]
    current, former = rotated["secrets"]
    assert (current, former["version"]) == ({"version": 2, "expires_at": None}, 1)
    ends = datetime.fromisoformat(rotated["updated_at"]) + timedelta(hours=24)
    assert datetime.fromisoformat(former["expires_at"]) == ends
    assert "secret" not in (await admin.get(path)).json()


async def test_a_secret_is_shown_only_by_the_first_of_the_answers_to_a_key(
    admin: AsyncClient,
) -> None:
    keys = {"Idempotency-Key": "k"}
    first = await admin.post(ALL, json={"url": URL}, headers=keys)
    again = await admin.post(ALL, json={"url": URL}, headers=keys)
    assert again.headers["Idempotency-Replayed"] == "true"
    assert again.json() == {**first.json(), "secret": None}
    path = f"{ALL}/{first.json()['id']}/rotate-secret"
    first = await admin.post(path, headers={"Idempotency-Key": "l"})
    again = await admin.post(path, headers={"Idempotency-Key": "l"})
    assert again.json() == {**first.json(), "secret": None}
    assert first.json()["version"] == 2


async def test_a_replay_names_positions_of_the_log(
    directory: Directory, admin: AsyncClient
) -> None:
    await registered(admin)
    webhook = await create(admin)
    path = f"{ALL}/{webhook['id']}/replay"
    for body, pointer in (
        ({}, "#/after"),
        ({"after": 9}, "#/after"),
        ({"after": 1, "until": 1}, "#/until"),
        ({"after": 0, "until": 9}, "#/until"),
        ({"after": 0, "until": None, "to": 1}, "#/to"),
    ):
        answer = await admin.post(path, json=body)
        assert answer.status_code == 422, body
        assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]
    replayed = await admin.post(path, json={"after": 0, "until": 1})
    assert (replayed.status_code, replayed.json()["version"]) == (200, 2)
    state = await directory.services.webhooks.commands.webhook(UUID(webhook["id"]))
    assert state.replay is not None
    assert (state.replay.after, state.replay.until) == (0, 1)
