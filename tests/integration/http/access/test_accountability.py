"""Accountability: the log says which caller read the data of many people, and which exported it."""

from typing import Any

import pytest
from httpx2 import AsyncClient
from structlog.testing import capture_logs

from application.errors import Unavailable
from application.identity import PRESETS, Principal
from application.jobs.model import JobQuery
from application.log.event_log import Appended, Draft
from tests.support.http.directory import Directory, registered
from tests.support.http.export_files import AUDIT, USERS, export_file, json_lines
from tests.support.http.streaming import StreamingDirectory, events, frame, served, streaming
from tests.support.http.webhooks import ALL, create

Json = dict[str, Any]
LISTS = {"/v1/users": "users", "/v1/events": "events", "/v1/audit": "audit"}
ACCESS = {"types": "access.*"}


async def recorded(directory: Directory) -> list[tuple[str, str, Any]]:
    """Type, actor and data of each event of access."""
    async with directory.as_("admin") as admin:
        items = (await admin.get("/v1/events", params=ACCESS)).json()["items"]
    return [(each["type"], each["actor"], each["data"]) for each in items]


def opening(what: str, actor: str = "token:auditor") -> tuple[str, str, Json]:
    return ("access.opened", actor, {"what": what, "presented": "token"})


@pytest.mark.parametrize("path", LISTS)
async def test_the_first_list_that_a_caller_reads_is_recorded(
    directory: Directory, admin: AsyncClient, path: str
) -> None:
    await registered(admin)
    async with directory.as_("auditor") as auditor:
        for request in ("first", "second"):
            answer = await auditor.get(path, headers={"X-Request-ID": request})
            assert answer.status_code == 200
    assert await recorded(directory) == [opening(LISTS[path])]
    [item] = (await admin.get("/v1/audit", params={**ACCESS, "actor": "token:auditor"})).json()[
        "items"
    ]
    assert (item["correlation_id"], item["actor"], item["personal"]) == (
        "first",
        "token:auditor",
        "open",
    )
    assert item["changes"] == {
        "what": {"from": None, "to": LISTS[path]},
        "presented": {"from": None, "to": "token"},
    }


async def test_the_session_and_the_token_of_one_actor_are_two_callers(
    directory: Directory, admin: AsyncClient
) -> None:
    ada = Principal(actor="user:7", permissions=PRESETS["reader"], kind="oidc")
    cookie = (await directory.services.sessions.start(ada, former=None)).secret
    directory.tokens.add("secret", Principal(actor="user:7", permissions=PRESETS["reader"]))
    async with directory.as_(None) as client:
        for headers in (
            {"Cookie": f"rollbook_session={cookie}"},
            {"Authorization": "Bearer secret"},
        ):
            for _ in range(2):
                assert (await client.get("/v1/users", headers=headers)).status_code == 200
    assert [data for _, _, data in await recorded(directory)] == [
        {"what": "users", "presented": "session"},
        {"what": "users", "presented": "token"},
    ]


async def test_reading_one_person_or_nothing_personal_is_not_recorded(
    directory: Directory, admin: AsyncClient
) -> None:
    path = f"/v1/users/{(await registered(admin))['id']}"
    event = (await directory.log.read(0, 1)).events[0].event_id
    one_person = (path, f"{path}?version=1", f"{path}/history", f"{path}/blame")
    for one in (*one_person, f"/v1/events/{event}", "/v1/stats", "/v1/projections"):
        assert (await admin.get(one)).status_code == 200
    async with directory.as_("watcher") as watcher, directory.as_("inspector") as inspector:
        assert (await watcher.get("/v1/events")).status_code == 200
        assert (await inspector.get("/v1/audit")).status_code == 200
    assert await recorded(directory) == []


async def test_a_refused_list_is_not_recorded(directory: Directory, admin: AsyncClient) -> None:
    await registered(admin)
    directory.views.lag = 1
    for path, status in (
        ("/v1/users?sort=none", 422),
        ("/v1/users?cursor=none", 422),
        ("/v1/events?after=99", 422),
        ("/v1/audit?limit=0", 422),
    ):
        assert (await admin.get(path)).status_code == status
    behind = await admin.get("/v1/users", headers={"Rollbook-Min-Position": "1"})
    assert behind.status_code == 503
    assert await recorded(directory) == []


async def test_only_administrators_that_ask_see_who_read_what(
    directory: Directory, admin: AsyncClient
) -> None:
    await registered(admin)
    async with directory.as_("auditor") as auditor:
        await auditor.get("/v1/users")
        (event,) = (await admin.get("/v1/events", params=ACCESS)).json()["items"]
        assert (await admin.get(f"/v1/events/{event['id']}")).json() == event
        assert (await auditor.get(f"/v1/events/{event['id']}")).status_code == 404
        for path in ("/v1/events", "/v1/audit"):
            assert (await auditor.get(path, params=ACCESS)).json()["items"] == []
            types = {each["type"] for each in (await admin.get(path)).json()["items"]}
            assert types == {"user.registered"}


async def test_the_stream_of_an_opening_is_no_user_and_no_webhook(
    directory: Directory, admin: AsyncClient
) -> None:
    await admin.get("/v1/users")
    (event,) = (await admin.get("/v1/events", params=ACCESS)).json()["items"]
    subject = event["subject"]
    for path in (f"/v1/users/{subject}", f"/v1/users/{subject}?version=1", f"{ALL}/{subject}"):
        assert (await admin.get(path)).status_code == 404
    assert (await admin.patch(f"/v1/users/{subject}", json={"role": "owner"})).status_code == 404
    assert (await admin.post(f"/v1/users/{subject}/erase")).status_code == 404
    taken = {"id": subject, "name": "Eve", "email": "eve@example.org"}
    answer = await admin.post("/v1/users", json=taken)
    assert (answer.status_code, answer.json()["type"]) == (409, "/problems/user-exists")


async def test_positions_in_an_answer_are_those_of_the_data_that_it_shows(
    directory: Directory, admin: AsyncClient
) -> None:
    user = await registered(admin)
    for path in LISTS:
        before = await directory.log.head()
        answer = await admin.get(path)
        assert answer.headers["Rollbook-Position"] == str(answer.json()["position"]) == str(before)
        assert await directory.log.head() == before + 1
        again = await admin.get(path, headers={"Rollbook-Min-Position": str(before + 1)})
        assert again.headers["Rollbook-Position"] == str(before + 1)
    answer = await admin.get(f"/v1/users/{user['id']}", headers={"If-None-Match": '"1"'})
    assert answer.status_code == 304


async def test_a_follower_that_polls_causes_one_event(
    directory: Directory, admin: AsyncClient
) -> None:
    after, seen = 0, list[str]()
    async with directory.as_("reader") as reader:
        for number in range(20):
            await registered(admin, email=f"{number}@example.org")
            page = (await reader.get("/v1/events", params={"after": after, "wait": 1})).json()
            after = page["next_after"]
            seen += [each["type"] for each in page["items"]]
    assert seen == ["user.registered"] * 20
    assert await recorded(directory) == [opening("events", "token:reader")]


async def test_while_the_log_cannot_be_written_lists_are_served_and_no_export_is_accepted(
    directory: Directory, admin: AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    await registered(admin)

    async def fails(draft: Draft) -> Appended:
        raise Unavailable

    with monkeypatch.context() as away:
        away.setattr(directory.log, "append", fails)
        with capture_logs() as logs:
            for path in LISTS:
                assert (await admin.get(path)).status_code == 200
        assert [line["event"] for line in logs] == ["opening_not_recorded"]
        answer = await admin.post("/v1/exports", json=USERS)
        assert (answer.status_code, answer.json()["type"]) == (503, "/problems/unavailable")
    assert (await directory.jobs.jobs(JobQuery(states=(), limit=1))).items == []
    assert await recorded(directory) == []


async def test_an_export_is_recorded_before_its_job_can_run(
    directory: Directory, admin: AsyncClient
) -> None:
    await registered(admin)
    filters = {"q": "Lovelace", "role": "member", "sort": "-name"}
    headers = {"X-Request-ID": "export-1", "Idempotency-Key": "one"}
    async with directory.as_("auditor") as auditor:
        asked = {**USERS, "filters": filters}
        answers = [await auditor.post("/v1/exports", json=asked, headers=headers) for _ in "12"]
    assert [answer.status_code for answer in answers] == [202, 202]
    job = answers[1].json()
    assert job["state"] == "queued"
    exported = {
        "export": job["id"],
        "what": "users",
        "format": "ndjson",
        "filters": {"q": None, "role": "member", "sort": "-name"},
    }
    assert await recorded(directory) == [("access.exported", "token:auditor", exported)]
    [item] = (await admin.get("/v1/audit", params={"types": "access.exported"})).json()["items"]
    assert (item["correlation_id"], item["version"]) == ("export-1", 1)
    assert item["changes"]["export"] == {"from": None, "to": job["id"]}


async def test_a_refused_export_is_not_recorded(directory: Directory, admin: AsyncClient) -> None:
    async with directory.as_("inspector") as inspector, directory.as_("reader") as reader:
        assert (await inspector.post("/v1/exports", json=USERS)).status_code == 403
        assert (await reader.post("/v1/exports", json=AUDIT)).status_code == 403
    assert (await admin.post("/v1/exports", json={**USERS, "format": "pdf"})).status_code == 422
    assert await recorded(directory) == []


async def test_an_export_of_the_audit_shows_who_exported(
    directory: Directory, admin: AsyncClient
) -> None:
    await export_file(directory, admin, USERS)
    rows = json_lines(
        await export_file(directory, admin, {**AUDIT, "filters": {"types": "access.exported"}})
    )
    assert [row["changes"]["what"]["to"] for row in rows] == ["audit", "users"]


async def test_webhooks_and_views_leave_events_of_access_out(
    directory: Directory, admin: AsyncClient
) -> None:
    await registered(admin)
    assert (await create(admin))["types"] == ["user.*"]
    refused = await admin.post(ALL, json={"url": "https://a.example/", "types": ["access.*"]})
    assert refused.status_code == 422
    await admin.get("/v1/audit")
    rows, position = await directory.views.rows()
    assert (len(rows), position) == (1, await directory.log.head())


async def test_a_stream_that_sends_events_is_recorded_and_one_without_personal_data_is_not() -> (
    None
):
    directory = StreamingDirectory()
    await directory.register(3)
    async with served(directory.app) as url:
        for token in ("reader", "watcher"):
            async with streaming(url, token=token, after=0) as stream:
                assert (await frame(stream))["kind"] == "ready"
                await events(stream, 3)
                await directory.register()
                await events(stream, 1)
    assert await recorded(directory) == [opening("stream", "token:reader")]
