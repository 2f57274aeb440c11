"""Asking for exports over HTTP: who may, with which filters, and what others see of it."""

from typing import Any

import pytest
from httpx2 import AsyncClient

from application.exports.requests import ExportOrder
from application.queries.directory import UserList
from tests.support.http.directory import Directory, registered
from tests.support.http.export_files import (
    AUDIT,
    USERS,
    Json,
    asked,
    file_of,
    lines,
    pointers,
    told,
)
from tests.support.jobs.jobs import echo, kind


async def test_nothing_personal_of_the_filters_is_shown(
    directory: Directory, admin: AsyncClient
) -> None:
    hidden = {"q": "Lovelace", "email": "ada@example.org", "external_id": "x-1"}
    job = await asked(admin, {**USERS, "filters": {**hidden, "sort": "name"}})
    assert job["arguments"]["filters"] == {**dict.fromkeys(hidden), "sort": "name"}
    user = await registered(admin)
    by_id = await asked(admin, {**AUDIT, "filters": {"user": user["id"], "actor": "token:x"}})
    assert by_id["arguments"]["filters"] == {"user": user["id"], "actor": None}
    by_address = await asked(admin, {**AUDIT, "filters": {"user": "ada@example.org"}})
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
async def test_what_is_wrong_is_said_by_pointer(
    admin: AsyncClient, body: Any, wrong: list[str]
) -> None:
    assert pointers(await admin.post("/v1/exports", json=body)) == wrong
    assert (await admin.get("/v1/jobs")).json()["items"] == []


async def test_the_checks_come_in_the_order_of_the_contract(
    directory: Directory, stranger: AsyncClient, reader: AsyncClient, admin: AsyncClient
) -> None:
    path = "/v1/exports"
    broken: Json = {"content": b"{", "headers": {"Content-Type": "text/plain"}}
    assert told(await admin.put(path, **broken)) == (405, "method-not-allowed")
    assert told(await stranger.post(path, **broken)) == (401, "unauthenticated")
    forbidden = await reader.post(path, **broken)
    assert (told(forbidden), forbidden.json()["permission"]) == ((403, "forbidden"), "audit:read")
    picky = {"Content-Type": "text/plain", "Accept": "text/html"}
    assert told(await admin.post(path, content=b"{", headers=picky)) == (406, "not-acceptable")
    assert told(await admin.post(path, **broken)) == (415, "unsupported-media-type")
    json_type = {"Content-Type": "application/json"}
    assert told(await admin.post(path, content=b"{", headers=json_type))[0] == 400
    assert told(await admin.post(path))[0] == 400
    both = await admin.post(
        path + "?what=users", json={"what": "users"}, headers={"Idempotency-Key": "x" * 256}
    )
    assert pointers(both) == ["#/format", "Idempotency-Key", "what"]


async def test_users_are_for_those_who_may_read_them(directory: Directory) -> None:
    async with directory.as_("inspector") as inspector:
        refused = await inspector.post("/v1/exports", json=USERS)
        assert (told(refused), refused.json()["permission"]) == ((403, "forbidden"), "users:read")


async def test_personal_values_of_the_audit_are_sealed_to_those_who_may_not_read_users(
    directory: Directory, admin: AsyncClient
) -> None:
    await registered(admin)
    async with directory.as_("inspector") as inspector:
        (item,) = lines(await file_of(directory, inspector, AUDIT))
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
    assert (again.json()["id"], again.json()["state"]) == (first.json()["id"], "succeeded")
    other = await admin.post("/v1/exports", json=AUDIT, headers=key)
    assert told(other) == (422, "idempotency-mismatch")
    async with directory.as_("auditor") as auditor:
        mine = await auditor.post("/v1/exports", json=AUDIT, headers=key)
    assert (mine.status_code, mine.json()["id"] != first.json()["id"]) == (202, True)


async def test_the_maker_has_the_rights_to_the_own_exports_alone(
    directory: Directory, admin: AsyncClient
) -> None:
    theirs = await asked(admin)
    other = await directory.jobs.submit("work", {}, actor="token:auditor")
    async with directory.as_("auditor") as auditor:
        mine, second = await asked(auditor), await asked(auditor, AUDIT)
        listed = (await auditor.get("/v1/jobs")).json()["items"]
        assert [item["id"] for item in listed] == [second["id"], mine["id"]]
        queued = (await auditor.get("/v1/jobs?state=queued&limit=1")).json()
        assert [item["id"] for item in queued["items"]] == [second["id"]]
        cancelled = await auditor.post(f"/v1/jobs/{second['id']}/cancel")
        assert (cancelled.status_code, cancelled.json()["state"]) == (200, "cancelled")
        directory.jobs.know(kind(echo))
        await directory.jobs.run_queued()
        assert (await auditor.get(f"/v1/jobs/{mine['id']}")).json()["state"] == "succeeded"
        assert lines(await auditor.get(f"/v1/jobs/{mine['id']}/result")) == []
        nobodys = "018f0000-0000-7000-8000-00000000ffff"
        for job in (theirs["id"], str(other.id), nobodys, "nonsense"):
            for answer in (
                await auditor.get(f"/v1/jobs/{job}"),
                await auditor.get(f"/v1/jobs/{job}/result"),
                await auditor.post(f"/v1/jobs/{job}/cancel"),
            ):
                assert (told(answer), answer.json()["permission"]) == ((403, "forbidden"), "admin")
    assert lines(await admin.get(f"/v1/jobs/{mine['id']}/result")) == []


@pytest.mark.parametrize(
    ("maker", "missing"), [("inspector", "users:read"), ("reader", "admin"), ("nobody", "admin")]
)
async def test_the_rights_of_the_present_count(
    directory: Directory, maker: str, missing: str
) -> None:
    order = ExportOrder(format="csv", users=UserList())
    job, _ = await directory.services.exports.ask(
        order, {}, actor=f"token:{maker}", key=None, position=0
    )
    await directory.jobs.run_queued()
    async with directory.as_(maker) as client:
        refused = await client.get(f"/v1/jobs/{job.id}/result")
    assert (told(refused), refused.json()["permission"]) == ((403, "forbidden"), missing)
