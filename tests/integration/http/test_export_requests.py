"""Requesting exports over HTTP: permissions, filters, and what other callers see."""

from typing import Any

import pytest
from httpx2 import AsyncClient
from uuid_utils.compat import uuid7

from application.context import Context
from application.exports.requests import ExportSpec
from application.queries.directory import UserList
from tests.support.http.directory import Directory, registered
from tests.support.http.export_files import (
    AUDIT,
    USERS,
    Json,
    export_file,
    json_lines,
    pointers,
    problem_of,
    request_export,
)
from tests.support.jobs.jobs import echo, kind


async def test_personal_values_in_filters_are_not_shown(
    directory: Directory, admin: AsyncClient
) -> None:
    hidden = {"q": "Lovelace", "email": "ada@example.org", "external_id": "x-1"}
    job = await request_export(admin, {**USERS, "filters": {**hidden, "sort": "name"}})
    assert job["arguments"]["filters"] == {**dict.fromkeys(hidden), "sort": "name"}
    user = await registered(admin)
    by_id = await request_export(
        admin, {**AUDIT, "filters": {"user": user["id"], "actor": "token:x"}}
    )
    assert by_id["arguments"]["filters"] == {"user": user["id"], "actor": None}
    by_address = await request_export(admin, {**AUDIT, "filters": {"user": "ada@example.org"}})
    assert by_address["arguments"]["filters"] == {"user": None}


@pytest.mark.parametrize(
    ("body", "wrong"),
    [
        ({}, ["#/format", "#/what"]),
        ({"what": "tokens", "format": "xml"}, ["#/format", "#/what"]),
        ({**USERS, "more": 1}, ["#/more"]),
        ({**USERS, "filters": []}, ["#/filters"]),
        ({**USERS, "filters": {"limit": "5", "cursor": "x"}}, ["#/filters/cursor", "#/filters/limit"]),
        ({**USERS, "format": 1, "filters": {"role": "No!"}}, ["#/filters/role", "#/format"]),
        ({**USERS, "filters": {"role": []}}, ["#/filters/role"]),
        ({**USERS, "filters": {"role": ["a", 1]}}, ["#/filters/role"]),
        ({**USERS, "filters": {"q": ["a"]}}, ["#/filters/q"]),
        ({**USERS, "filters": {"ids": ["018f0000-0000-7000-8000-000000000001"] * 201}}, ["#/filters/ids"]),
        ({**USERS, "filters": {"from": "2026-01-01T00:00:00Z"}}, ["#/filters/from"]),
        ({**AUDIT, "filters": {"from": "yesterday", "user": "who"}}, ["#/filters/from", "#/filters/user"]),
        ({**AUDIT, "filters": {"q": "x"}}, ["#/filters/q"]),
        ({**AUDIT, "filters": {str(n): "x" for n in range(51)}}, ["#/filters"]),
        ([], ["#"]),
    ],
)  # fmt: skip
async def test_errors_are_reported_by_pointer(
    admin: AsyncClient, body: Any, wrong: list[str]
) -> None:
    assert pointers(await admin.post("/v1/exports", json=body)) == wrong
    assert (await admin.get("/v1/jobs")).json()["items"] == []


async def test_the_checks_come_in_the_order_of_the_contract(
    directory: Directory, anonymous: AsyncClient, reader: AsyncClient, admin: AsyncClient
) -> None:
    path = "/v1/exports"
    broken: Json = {"content": b"{", "headers": {"Content-Type": "text/plain"}}
    assert problem_of(await admin.put(path, **broken)) == (405, "method-not-allowed")
    assert problem_of(await anonymous.post(path, **broken)) == (401, "unauthenticated")
    forbidden = await reader.post(path, **broken)
    assert (problem_of(forbidden), forbidden.json()["permission"]) == (
        (403, "forbidden"),
        "audit:read",
    )
    not_acceptable = {"Content-Type": "text/plain", "Accept": "text/html"}
    assert problem_of(await admin.post(path, content=b"{", headers=not_acceptable)) == (
        406,
        "not-acceptable",
    )
    assert problem_of(await admin.post(path, **broken)) == (415, "unsupported-media-type")
    json_type = {"Content-Type": "application/json"}
    assert problem_of(await admin.post(path, content=b"{", headers=json_type))[0] == 400
    assert problem_of(await admin.post(path))[0] == 400
    both = await admin.post(
        path + "?what=users", json={"what": "users"}, headers={"Idempotency-Key": "x" * 256}
    )
    assert pointers(both) == ["#/format", "Idempotency-Key", "what"]


async def test_an_export_of_users_needs_the_permission_to_read_users(directory: Directory) -> None:
    async with directory.as_("inspector") as inspector:
        refused = await inspector.post("/v1/exports", json=USERS)
        assert (problem_of(refused), refused.json()["permission"]) == (
            (403, "forbidden"),
            "users:read",
        )


async def test_without_users_read_personal_values_of_the_audit_are_sealed(
    directory: Directory, admin: AsyncClient
) -> None:
    await registered(admin)
    async with directory.as_("inspector") as inspector:
        (item,) = json_lines(await export_file(directory, inspector, AUDIT))
    assert item["personal"] == "sealed"
    assert item["changes"]["email"] == {"from": None, "to": None}
    assert item["changes"]["role"] == {"from": None, "to": "member"}


async def test_a_repeat_with_the_same_key_is_the_same_export(
    directory: Directory, admin: AsyncClient
) -> None:
    key = {"Idempotency-Key": "one"}
    first = await admin.post("/v1/exports", json=USERS, headers=key)
    assert "Idempotency-Replayed" not in first.headers
    await directory.jobs.run_queued()
    again = await admin.post("/v1/exports", json=USERS, headers=key)
    assert again.status_code == 202
    assert again.headers["Idempotency-Replayed"] == "true"
    assert again.content == first.content
    assert (await admin.get(again.headers["Location"])).json()["state"] == "succeeded"
    other = await admin.post("/v1/exports", json=AUDIT, headers=key)
    assert problem_of(other) == (422, "idempotency-mismatch")
    async with directory.as_("auditor") as auditor:
        own = await auditor.post("/v1/exports", json=AUDIT, headers=key)
    assert (own.status_code, own.json()["id"] != first.json()["id"]) == (202, True)


async def test_an_actor_may_use_only_its_own_exports(
    directory: Directory, admin: AsyncClient
) -> None:
    admins_job = await request_export(admin)
    other = await directory.jobs.submit("work", {}, actor="token:auditor")
    async with directory.as_("auditor") as auditor:
        own, second = await request_export(auditor), await request_export(auditor, AUDIT)
        listed = (await auditor.get("/v1/jobs")).json()["items"]
        assert [item["id"] for item in listed] == [second["id"], own["id"]]
        queued = (await auditor.get("/v1/jobs?state=queued&limit=1")).json()
        assert [item["id"] for item in queued["items"]] == [second["id"]]
        cancelled = await auditor.post(f"/v1/jobs/{second['id']}/cancel")
        assert (cancelled.status_code, cancelled.json()["state"]) == (200, "cancelled")
        directory.jobs.add_kinds(kind(echo))
        await directory.jobs.run_queued()
        assert (await auditor.get(f"/v1/jobs/{own['id']}")).json()["state"] == "succeeded"
        assert json_lines(await auditor.get(f"/v1/jobs/{own['id']}/result")) == []
        unknown_id = "018f0000-0000-7000-8000-00000000ffff"
        for job in (admins_job["id"], str(other.id), unknown_id, "nonsense"):
            for answer in (
                await auditor.get(f"/v1/jobs/{job}"),
                await auditor.get(f"/v1/jobs/{job}/result"),
                await auditor.post(f"/v1/jobs/{job}/cancel"),
            ):
                assert (problem_of(answer), answer.json()["permission"]) == (
                    (403, "forbidden"),
                    "admin",
                )
    assert json_lines(await admin.get(f"/v1/jobs/{own['id']}/result")) == []


@pytest.mark.parametrize(
    ("actor", "missing"), [("inspector", "users:read"), ("reader", "admin"), ("nobody", "admin")]
)
async def test_the_current_permissions_of_the_actor_decide(
    directory: Directory, actor: str, missing: str
) -> None:
    spec = ExportSpec(format="csv", users=UserList())
    job = await directory.services.exports.submit(
        spec,
        {},
        context=Context(actor=f"token:{actor}", correlation_id="test"),
        position=0,
        export_id=uuid7(),
    )
    await directory.jobs.run_queued()
    async with directory.as_(actor) as client:
        refused = await client.get(f"/v1/jobs/{job.id}/result")
    assert (problem_of(refused), refused.json()["permission"]) == ((403, "forbidden"), missing)


@pytest.mark.parametrize("q", ["", " ", "-", "☺"])
async def test_an_export_of_a_search_needs_a_word(admin: AsyncClient, q: str) -> None:
    body = {"what": "users", "format": "csv", "filters": {"q": q}}
    answer = await admin.post("/v1/exports", json=body)
    assert answer.status_code == 422
    assert [error["pointer"] for error in answer.json()["errors"]] == ["#/filters/q"]
    assert (await admin.get("/v1/users", params={"q": q})).json()["items"] == []
