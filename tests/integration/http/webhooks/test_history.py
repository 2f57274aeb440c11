"""The audit and the events of webhooks: for administrators that ask."""

import json
from typing import Any

from httpx2 import AsyncClient

from tests.support.http.directory import Directory, registered
from tests.support.http.export_files import AUDIT, csv_rows, export_file, json_lines
from tests.support.http.webhooks import ALL, URL, create


async def test_the_audit_says_who_changed_what(directory: Directory, admin: AsyncClient) -> None:
    webhook = await create(admin, description="Payroll")
    path = f"{ALL}/{webhook['id']}"
    await admin.patch(path, json={"url": "https://b.example/", "personal": "open"})
    await admin.post(f"{path}/pause", json={"reason": "they move house"})
    await admin.post(f"{path}/resume")
    await admin.post(f"{path}/rotate-secret")
    await admin.post(f"{path}/replay", json={"after": 0})
    items = (await admin.get("/v1/audit", params={"types": "webhook.*"})).json()["items"]
    changes = {item["type"]: (item["changes"], item["reason"]) for item in items}
    assert changes == {
        "webhook.created": (
            {
                "url": {"from": None, "to": URL},
                "types": {"from": None, "to": ["user.*"]},
                "user": {"from": None, "to": None},
                "personal_data": {"from": None, "to": "sealed"},
                "description": {"from": None, "to": "Payroll"},
                "after": {"from": None, "to": None},
                "status": {"from": None, "to": "active"},
            },
            None,
        ),
        "webhook.url_changed": ({"url": {"from": URL, "to": "https://b.example/"}}, None),
        "webhook.personal_data_changed": (
            {"personal_data": {"from": "sealed", "to": "open"}},
            None,
        ),
        "webhook.paused": ({"status": {"from": "active", "to": "paused"}}, "they move house"),
        "webhook.resumed": ({"status": {"from": "paused", "to": "active"}}, None),
        "webhook.secret_rotated": ({}, None),
        "webhook.replayed": (
            {"after": {"from": None, "to": 0}, "until": {"from": None, "to": None}},
            None,
        ),
    }
    assert {item["actor"] for item in items} == {"token:admin"}
    async with directory.as_("auditor") as auditor:
        found = await auditor.get("/v1/audit", params={"types": "webhook.*"})
        assert found.json()["items"] == []
        assert (await auditor.get(f"/v1/users/{webhook['id']}/history")).status_code == 404
    await admin.delete(path)
    items = (await admin.get("/v1/audit", params={"types": "webhook.*"})).json()["items"]
    by_type = {item["type"]: item for item in items}
    assert by_type["webhook.deleted"]["changes"] == {"status": {"from": None, "to": "deleted"}}
    erased = by_type["webhook.url_changed"]
    assert (erased["personal"], erased["changes"]) == (
        "erased",
        {"url": {"from": None, "to": None}},
    )


async def test_events_of_webhooks_are_only_for_administrators_that_ask(
    directory: Directory, admin: AsyncClient
) -> None:
    await create(admin)
    user = (await registered(admin))["id"]
    assert [each["subject"] for each in await events(admin, {})] == [user]
    (event,) = await events(admin, {"types": "webhook.*"})
    assert (event["type"], event["data"]["url"]) == ("webhook.created", URL)
    async with directory.as_("reader") as reader:
        assert await events(reader, {"types": "webhook.*,user.*"}) == await events(reader, {})
        assert (await reader.get(f"/v1/events/{event['id']}")).status_code == 404


async def test_an_export_of_the_audit_has_the_changes_of_webhooks(
    directory: Directory, admin: AsyncClient
) -> None:
    user = (await registered(admin))["id"]
    webhook = await create(admin, user=user)
    await admin.patch(f"{ALL}/{webhook['id']}", json={"user": None, "types": ["user.erased"]})
    asked = {**AUDIT, "filters": {"types": "webhook.*"}}
    exported = json_lines(await export_file(directory, admin, asked))
    listed = (await admin.get("/v1/audit", params={"types": "webhook.*"})).json()["items"]
    assert exported == listed
    assert len(listed) == 3
    rows = csv_rows(await export_file(directory, admin, {**asked, "format": "csv"}))
    changes = {row["type"]: json.loads(row["changes"]) for row in rows}
    assert changes["webhook.user_changed"] == {"user": {"from": user, "to": None}}
    assert changes["webhook.types_changed"] == {
        "types": {"from": ["user.*"], "to": ["user.erased"]}
    }


async def events(client: AsyncClient, parameters: dict[str, str]) -> list[dict[str, Any]]:
    return (await client.get("/v1/events", params=parameters)).json()["items"]
