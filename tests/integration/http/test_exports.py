"""Export files: their rows, their position and their formats."""

import json
from uuid import UUID

import pytest
from httpx2 import AsyncClient

from application.exports.formats import restored
from tests.support.http.directory import Directory, registered
from tests.support.http.export_files import (
    AUDIT,
    USERS,
    Json,
    csv_rows,
    export_file,
    json_lines,
    problem_of,
    request_export,
)
from tests.support.log.drafts import registration


async def test_an_export_is_a_job_whose_result_is_the_file(
    directory: Directory, admin: AsyncClient
) -> None:
    user = await registered(admin)
    answer = await admin.post("/v1/exports", json={**USERS, "filters": {"role": "member"}})
    job = answer.json()
    assert answer.status_code == 202
    assert answer.headers["Location"] == f"/v1/jobs/{job['id']}"
    # The position of the event that says who exports what.
    assert answer.headers["Rollbook-Position"] == "2"
    assert (job["kind"], job["state"], job["actor"]) == ("export", "queued", "token:admin")
    assert job["arguments"] == {
        "what": "users",
        "format": "ndjson",
        "filters": {"role": "member"},
    }
    waiting = await admin.get(f"/v1/jobs/{job['id']}/result")
    assert problem_of(waiting) == (404, "not-found")
    await directory.jobs.run_queued()
    done = (await admin.get(answer.headers["Location"])).json()
    assert done["state"] == "succeeded"
    assert done["result"] == {"what": "users", "format": "ndjson", "rows": 1, "position": 2}
    assert done["progress"]["total"] == 1
    file = await admin.get(f"/v1/jobs/{job['id']}/result")
    assert json_lines(file) == [user]
    assert file.headers["Content-Type"] == "application/x-ndjson"
    expected = f'attachment; filename="users-{job["id"]}.ndjson"'
    assert file.headers["Content-Disposition"] == expected
    assert file.headers["Rollbook-Position"] == "2"


async def test_the_rows_are_those_at_the_position_of_the_export(
    directory: Directory, admin: AsyncClient
) -> None:
    one, two = await registered(admin), await registered(admin, email="two@example.org")
    job = await request_export(admin)
    await directory.jobs.run_queued()
    await admin.patch(f"/v1/users/{one['id']}", json={"name": "Another", "role": "owner"})
    await admin.delete(f"/v1/users/{two['id']}")
    await registered(admin, email="three@example.org")
    path = f"/v1/jobs/{job['id']}/result"
    assert json_lines(await admin.get(path)) == [one, two]
    assert json_lines(await admin.get(path)) == [one, two]


async def test_a_user_erased_afterwards_is_no_longer_in_the_file(
    directory: Directory, admin: AsyncClient
) -> None:
    one, two = await registered(admin), await registered(admin, email="two@example.org")
    users, audit = await request_export(admin), await request_export(admin, AUDIT)
    await directory.jobs.run_queued()
    assert (await admin.post(f"/v1/users/{one['id']}/erase")).status_code == 200
    file = await admin.get(f"/v1/jobs/{users['id']}/result")
    assert json_lines(file) == [two]
    items = json_lines(await admin.get(f"/v1/jobs/{audit['id']}/result"))
    assert [(item["subject"], item["personal"]) for item in items] == [
        (two["id"], "open"),
        (one["id"], "erased"),
    ]
    assert items[1]["changes"]["name"] == {"from": None, "to": None}
    job = (await admin.get(f"/v1/jobs/{users['id']}")).json()
    assert job["result"]["rows"] == 2


async def test_csv_has_a_header_and_its_formulas_are_escaped(
    directory: Directory, admin: AsyncClient
) -> None:
    user = await registered(
        admin, name="=1+1", external_id="@SUM(A1)", attributes={"note": 'a "b", c'}
    )
    file = await export_file(directory, admin, {"what": "users", "format": "csv"})
    assert file.headers["Content-Type"] == "text/csv; charset=utf-8; header=present"
    head, row, rest = file.text.split("\r\n")
    assert head == (
        "id,external_id,name,email,role,status,attributes,version,created_at,updated_at,personal"
    )
    assert ",'@SUM(A1),'=1+1," in row
    assert rest == ""
    (shown,) = csv_rows(file)
    assert restored(shown["name"]) == "=1+1"
    assert json.loads(shown["attributes"]) == user["attributes"]
    assert (shown["version"], shown["created_at"]) == ("1", user["created_at"])


async def test_the_audit_has_the_items_of_the_list(
    directory: Directory, admin: AsyncClient
) -> None:
    user = await registered(admin)
    path = f"/v1/users/{user['id']}"
    await admin.patch(path, json={"name": "Ada King"})
    await admin.request("DELETE", path, json={"reason": "moved\naway"})
    listed = (await admin.get("/v1/audit")).json()["items"]
    assert json_lines(await export_file(directory, admin, AUDIT)) == listed
    shown = csv_rows(await export_file(directory, admin, {**AUDIT, "format": "csv"}))
    assert [int(item["position"]) for item in shown] == [3, 2, 1]
    assert json.loads(shown[1]["changes"]) == listed[1]["changes"]
    assert (shown[0]["reason"], shown[0]["unreadable"]) == ("moved\naway", "")


@pytest.mark.parametrize(
    ("filters", "names"),
    [
        ({"q": "ad"}, ["Ada"]),
        ({"email": "GRACE@example.org,ada@example.org"}, ["Ada", "Grace"]),
        ({"email": ["grace@example.org", "ada@example.org"]}, ["Ada", "Grace"]),
        ({"external_id": ["a,b"]}, ["Grace"]),
        ({"external_id": "a\\,b"}, ["Grace"]),
        ({"status": "deleted"}, ["Tony"]),
        ({"status": ["deleted", "active"], "sort": "-name"}, ["Tony", "Grace", "Ada"]),
        ({"role": "owner"}, []),
        ({"q": None}, ["Ada", "Grace"]),
    ],
)
async def test_the_filters_of_users_are_those_of_the_list(
    directory: Directory, admin: AsyncClient, filters: Json, names: list[str]
) -> None:
    await registered(admin, name="Ada")
    await registered(admin, name="Grace", email="grace@example.org", external_id="a,b")
    tony = await registered(admin, name="Tony", email="tony@example.org")
    await admin.delete(f"/v1/users/{tony['id']}")
    file = await export_file(directory, admin, {**USERS, "filters": filters})
    assert [row["name"] for row in json_lines(file)] == names


async def test_the_filters_of_the_audit_are_those_of_the_list(
    directory: Directory, admin: AsyncClient
) -> None:
    ada = await registered(admin)
    await registered(admin, email="grace@example.org")
    await admin.patch(f"/v1/users/{ada['id']}", json={"name": "Ada King"})
    since = (await admin.get("/v1/audit?limit=1")).json()["items"][0]["time"]
    for filters, positions in [
        ({"user": "ada@example.org"}, [3, 1]),
        ({"user": ada["id"]}, [3, 1]),
        ({"user": "nobody@example.org"}, []),
        ({"types": "user.registered"}, [2, 1]),
        ({"types": ["user.renamed", "user.deleted"]}, [3]),
        ({"actor": "token:nobody"}, []),
        ({"from": since}, [3]),
        ({"to": since}, [2, 1]),
    ]:
        file = await export_file(directory, admin, {**AUDIT, "filters": filters})
        assert [item["position"] for item in json_lines(file)] == positions, filters


async def test_the_file_is_sent_in_its_own_format_only(
    directory: Directory, admin: AsyncClient
) -> None:
    file = await export_file(directory, admin)
    path = str(file.request.url)
    for accept in ("application/x-ndjson", "*/*", "application/*;q=0.5", "text/html, */*;q=0.1"):
        assert (await admin.get(path, headers={"Accept": accept})).status_code == 200
    for accept in ("text/csv", "application/json", "image/png"):
        assert problem_of(await admin.get(path, headers={"Accept": accept})) == (
            406,
            "not-acceptable",
        )
    head = await admin.head(path)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["Content-Disposition"] == file.headers["Content-Disposition"]
    assert head.headers["Content-Type"] == file.headers["Content-Type"]


async def test_a_file_that_is_no_longer_kept_is_not_found(
    directory: Directory, admin: AsyncClient
) -> None:
    job = await request_export(admin)
    await directory.jobs.run_queued()
    path = f"/v1/jobs/{job['id']}/result"
    assert (await admin.get(path)).status_code == 200
    directory.exports.remove(UUID(job["id"]))
    gone = await admin.get(path)
    assert problem_of(gone) == (404, "not-found")
    assert "24 hours" in gone.json()["detail"]


async def test_an_export_shows_all_events_recorded_before_its_request(
    directory: Directory, admin: AsyncClient
) -> None:
    user = await registered(admin)
    directory.views.lag = 1
    job = await request_export(admin)
    async with directory.jobs.working():
        directory.views.lag = 0
        await directory.jobs.run_queued()
    assert json_lines(await admin.get(f"/v1/jobs/{job['id']}/result")) == [user]


async def test_each_of_many_rows_is_exported_once(directory: Directory, admin: AsyncClient) -> None:
    for n in range(1203):
        await directory.log.append(registration(email=f"ada{n}@example.org"))
    users = json_lines(
        await export_file(directory, admin, {**USERS, "filters": {"sort": "-created_at"}})
    )
    assert [user["email"] for user in users] == [f"ada{n}@example.org" for n in range(1202, -1, -1)]
    items = json_lines(await export_file(directory, admin, AUDIT))
    assert [item["position"] for item in items] == list(range(1203, 0, -1))
