"""Erasing over HTTP: for admins only, idempotent, answered with a receipt or with a job."""

from datetime import datetime, timedelta
from typing import Any, Final

import pytest
from httpx2 import AsyncClient, Response

from tests.support.http.directory import Directory, registered

COVERED: Final = ["data-key", "events", "snapshots", "messages", "claims"]
VIEWS: Final = ["views:users/1", "views:headcount/1"]
SECRET: Final = "Zoë asked me on the phone"


async def erase(client: AsyncClient, user_id: str, **options: Any) -> Response:
    return await client.post(f"/v1/users/{user_id}/erase", **options)


@pytest.fixture
async def user_id(admin: AsyncClient) -> str:
    return (await registered(admin))["id"]


async def test_the_receipt_gives_the_time_and_lists_what_is_erased(
    directory: Directory, admin: AsyncClient, user_id: str
) -> None:
    answer = await erase(admin, user_id, json={"reason": "retention"})
    assert answer.status_code == 200
    receipt = answer.json()
    event = (await directory.log.read(0, 10)).events[-1]
    assert receipt == {
        "user_id": user_id,
        "position": event.position,
        "erased_at": receipt["erased_at"],
        "covers": [*COVERED, *VIEWS],
        "remains": {
            "until": receipt["remains"]["until"],
            "where": ["freed-pages", "write-ahead-log", "receipts"],
        },
    }
    erased_at = datetime.fromisoformat(receipt["erased_at"])
    assert erased_at == event.recorded_at
    assert datetime.fromisoformat(receipt["remains"]["until"]) == erased_at + timedelta(days=30)
    assert answer.headers["Rollbook-Position"] == str(event.position)
    assert "ETag" not in answer.headers


@pytest.mark.parametrize(
    ("sent", "recorded"),
    [
        ({}, "subject-request"),
        ({"json": {}}, "subject-request"),
        ({"json": {"reason": None}}, "subject-request"),
        ({"json": {"reason": "subject-request"}}, "subject-request"),
        ({"json": {"reason": "error"}}, "error"),
    ],
)
async def test_the_reason_is_one_of_the_codes(
    directory: Directory, admin: AsyncClient, user_id: str, sent: dict[str, Any], recorded: str
) -> None:
    assert (await erase(admin, user_id, **sent)).status_code == 200
    event = (await directory.log.read(0, 10)).events[-1].event
    assert getattr(event, "reason", None) == recorded


@pytest.mark.parametrize(
    "body", [{"reason": SECRET}, {"reason": ["retention"]}, {"why": SECRET}, {"reason": ""}]
)
async def test_another_reason_is_refused_and_not_repeated(
    admin: AsyncClient, user_id: str, body: dict[str, Any]
) -> None:
    answer = await erase(admin, user_id, json=body)
    assert answer.status_code == 422
    assert SECRET not in answer.text
    assert (await admin.get(f"/v1/users/{user_id}")).status_code == 200


async def test_a_repeated_erasure_gives_the_same_answer(
    directory: Directory, admin: AsyncClient, user_id: str
) -> None:
    first = await erase(admin, user_id)
    head = await directory.log.head()
    again = await erase(admin, user_id, json={"reason": "other"})
    with_a_key = await erase(admin, user_id, headers={"Idempotency-Key": "later"})
    assert first.content == again.content == with_a_key.content
    assert with_a_key.headers["Rollbook-Position"] == str(first.json()["position"])
    assert await directory.log.head() == head


async def test_a_repeat_with_its_key_gives_the_first_answer(
    admin: AsyncClient, user_id: str
) -> None:
    key = {"Idempotency-Key": "erase-1"}
    first = await erase(admin, user_id, headers=key)
    again = await erase(admin, user_id, headers=key)
    assert (first.status_code, first.content) == (again.status_code, again.content)
    assert "Idempotency-Replayed" not in first.headers
    assert again.headers["Idempotency-Replayed"] == "true"
    other = await erase(admin, user_id, headers=key, json={"reason": "error"})
    assert other.json()["type"] == "/problems/idempotency-mismatch"


async def test_former_answers_about_an_erased_user_are_not_replayed(
    admin: AsyncClient, user_id: str
) -> None:
    keys = {"Idempotency-Key": "rename-1"}
    rename = {"name": "Ada King"}
    path = f"/v1/users/{user_id}"
    assert (await admin.patch(path, json=rename, headers=keys)).status_code == 200
    await erase(admin, user_id)
    again = await admin.patch(path, json=rename, headers=keys)
    assert (again.status_code, again.json()["type"]) == (410, "/problems/user-erased")
    assert "Ada" not in again.text


async def test_a_repeated_deletion_is_answered_as_before_also_after_an_erasure(
    admin: AsyncClient, user_id: str
) -> None:
    path, key = f"/v1/users/{user_id}", {"Idempotency-Key": "delete-1"}
    assert (await admin.delete(path, headers=key)).status_code == 204
    await erase(admin, user_id)
    again = await admin.delete(path, headers=key)
    assert (again.status_code, again.headers["Idempotency-Replayed"]) == (204, "true")


async def test_an_erased_user_is_gone_from_reads_and_commands(
    admin: AsyncClient, user_id: str
) -> None:
    await erase(admin, user_id)
    path = f"/v1/users/{user_id}"
    answers = [
        await admin.get(path),
        await admin.get(f"{path}?version=1"),
        await admin.patch(path, json={"name": "Ada"}),
        await admin.post(f"{path}/restore"),
    ]
    for answer in answers:
        assert (answer.status_code, answer.json()["type"]) == (410, "/problems/user-erased")
        assert answer.json()["version"] == 2
    assert (await admin.delete(path)).status_code == 204
    listed = (await admin.get("/v1/users?status=erased")).json()["items"]
    assert [(user["name"], user["email"], user["personal"]) for user in listed] == [
        (None, None, "erased")
    ]


async def test_the_address_of_an_erased_user_is_free_at_once(
    admin: AsyncClient, user_id: str
) -> None:
    await erase(admin, user_id)
    assert (await registered(admin))["id"] != user_id


async def test_a_deleted_user_can_be_erased(admin: AsyncClient, user_id: str) -> None:
    await admin.delete(f"/v1/users/{user_id}")
    assert (await erase(admin, user_id)).json()["position"] == 3


@pytest.mark.parametrize("token", ["reader", "writer", "auditor"])
async def test_only_admins_erase(directory: Directory, user_id: str, token: str) -> None:
    async with directory.as_(token) as client:
        answer = await erase(client, user_id, json={"reason": SECRET})
    assert (answer.status_code, answer.json()["permission"]) == (403, "admin")


async def test_a_missing_token_is_reported_first(anonymous: AsyncClient, user_id: str) -> None:
    assert (await erase(anonymous, user_id, content=b"{")).status_code == 401


@pytest.mark.parametrize("unknown_id", ["01980000-0000-7000-8000-000000000000", "no-uuid"])
async def test_an_unknown_user_is_not_found(admin: AsyncClient, unknown_id: str) -> None:
    answer = await erase(admin, unknown_id, headers={"If-Match": '"1"'})
    assert (answer.status_code, answer.json()["type"]) == (404, "/problems/not-found")


async def test_if_match_applies_before_and_after_the_erasure(
    admin: AsyncClient, user_id: str
) -> None:
    refused = await erase(admin, user_id, headers={"If-Match": '"2"'})
    assert (refused.status_code, refused.json()["version"]) == (412, 1)
    assert (await erase(admin, user_id, headers={"If-Match": '"1"'})).status_code == 200
    assert (await erase(admin, user_id, headers={"If-Match": '"1"'})).status_code == 412
    assert (await erase(admin, user_id, headers={"If-Match": '"2"'})).status_code == 200


async def test_while_a_view_is_behind_a_job_continues_the_erasure(
    directory: Directory, admin: AsyncClient, user_id: str
) -> None:
    directory.views.lag = 1
    answer = await erase(admin, user_id, headers={"Idempotency-Key": "erase-1"})
    job = answer.json()
    assert (answer.status_code, job["kind"]) == (202, "erasure")
    assert answer.headers["Location"] == f"/v1/jobs/{job['id']}"
    assert answer.headers["Rollbook-Position"] == "2"
    again = await erase(admin, user_id, headers={"Idempotency-Key": "erase-1"})
    assert (again.status_code, again.json()["id"]) == (202, job["id"])
    assert again.headers["Idempotency-Replayed"] == "true"

    directory.views.lag = 0
    await directory.sweep_erasures()
    done = (await admin.get(answer.headers["Location"])).json()
    assert (done["state"], done["progress"]["done"]) == ("succeeded", 7)
    receipt = await erase(admin, user_id)
    assert (receipt.status_code, receipt.json()) == (200, done["result"])


async def test_the_openapi_description_has_both_answers(admin: AsyncClient) -> None:
    document = (await admin.get("/openapi.json")).json()
    operation = document["paths"]["/v1/users/{user_id}/erase"]["post"]
    schemas = {
        status: operation["responses"][status]["content"]["application/json"]["schema"]["$ref"]
        for status in ("200", "202")
    }
    assert schemas == {
        "200": "#/components/schemas/ErasureReceipt",
        "202": "#/components/schemas/Job",
    }
    assert {"ErasureReceipt", "Remains", "EraseBody"} <= document["components"]["schemas"].keys()
    assert "Location" in operation["responses"]["202"]["headers"]
    assert "ETag" not in operation["responses"]["200"]["headers"]
    body = document["components"]["schemas"]["EraseBody"]["properties"]["reason"]
    assert "retention" in str(body)
