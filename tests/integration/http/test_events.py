"""The events over HTTP: pages, long polls, and the permissions of readers."""

import asyncio
from typing import Any

import pytest
from httpx2 import AsyncClient

from application.doorbell import LOG
from application.errors import PositionGone
from application.identity import PRESETS, Principal
from application.log.event_log import FeedPage
from application.log.search import EventFilter
from tests.support.http.directory import LOG_ID, Directory, registered


async def page(client: AsyncClient, **parameters: str | int) -> dict[str, Any]:
    answer = await client.get("/v1/events", params=parameters)
    assert answer.status_code == 200, answer.text
    assert answer.headers["Rollbook-Position"] == str(answer.json()["position"])
    return answer.json()


async def test_an_empty_log_has_an_empty_page(admin: AsyncClient) -> None:
    assert await page(admin) == {"items": [], "next_after": 0, "head": 0, "position": 0}


async def test_pages_follow_each_other_without_gaps_or_duplicates(admin: AsyncClient) -> None:
    for number in range(5):
        await registered(admin, email=f"user{number}@example.org")
    seen: list[str] = []
    after = 0
    while items := (current := await page(admin, after=after, limit=2))["items"]:
        seen += [event["position"] for event in items]
        after = current["next_after"]
    assert seen == ["1", "2", "3", "4", "5"]
    # One event more: this caller reads the data of many people.
    assert (after, current["head"]) == (6, 6)


async def test_types_and_users_narrow_the_events(admin: AsyncClient) -> None:
    ada = await registered(admin)
    await registered(admin, email="other@example.org")
    await admin.patch(f"/v1/users/{ada['id']}", json={"role": "owner", "name": "Ada King"})
    by_type = await page(admin, types="user.renamed,user.role_changed")
    assert {event["type"] for event in by_type["items"]} == {"user.renamed", "user.role_changed"}
    by_user = await page(admin, user=ada["id"], types="user.*")
    assert [event["version"] for event in by_user["items"]] == [1, 2, 3]
    nothing = await page(admin, types="library.*")
    assert (nothing["items"], nothing["next_after"]) == ([], nothing["head"])


@pytest.mark.parametrize(
    "types", ["user.role-changed", "user.", "*", "nothing.*", "user.renamed,User.Renamed", ""]
)
@pytest.mark.parametrize("path", ["/v1/events", "/v1/audit"])
async def test_a_misspelt_type_is_refused_with_the_known_ones(
    admin: AsyncClient, path: str, types: str
) -> None:
    answer = await admin.get(path, params={"types": types})
    assert answer.status_code == 422
    [error] = answer.json()["errors"]
    assert error["pointer"] == "types"
    assert "user.role_changed" in error["detail"]
    assert "user.*" in error["detail"]


async def test_personal_data_is_open_to_readers_of_users_only(directory: Directory) -> None:
    async with directory.as_("admin") as admin, directory.as_("watcher") as watcher:
        user = await registered(admin)
        opened, sealed = (await page(admin))["items"], (await page(watcher))["items"]
        assert (opened[0]["personal"], opened[0]["data"]["name"]) == ("open", user["name"])
        assert (sealed[0]["personal"], sealed[0]["data"]["name"]) == ("sealed", None)
        one = await watcher.get(f"/v1/events/{sealed[0]['id']}")
        assert one.json() == sealed[0]


async def test_one_event_is_read_by_its_id(admin: AsyncClient) -> None:
    await registered(admin)
    event = (await page(admin))["items"][0]
    head = (await page(admin))["head"]
    answer = await admin.get(f"/v1/events/{event['id']}")
    assert answer.json() == event
    assert event["source"] == f"urn:uuid:{LOG_ID}"
    assert answer.headers["Rollbook-Position"] == str(head)


@pytest.mark.parametrize("event_id", ["018f0000-0000-7000-8000-00000000ffff", "no-uuid"])
async def test_an_unknown_event_is_not_found(admin: AsyncClient, event_id: str) -> None:
    assert (await admin.get(f"/v1/events/{event_id}")).status_code == 404


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ("after=-1", "after"),
        ("after=x", "after"),
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("wait=31", "wait"),
        ("user=ada", "user"),
        ("type=user.*", "type"),
        ("after=7", "after"),
    ],
)
async def test_wrong_parameters_are_reported(
    admin: AsyncClient, query: str, parameter: str
) -> None:
    answer = await admin.get(f"/v1/events?{query}")
    assert answer.status_code == 422
    assert [error["pointer"] for error in answer.json()["errors"]] == [parameter]


async def test_a_position_lost_in_a_restore_gives_the_position_to_resume_after(
    directory: Directory, admin: AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def gone(after: int, wanted: EventFilter, limit: int) -> FeedPage:
        raise PositionGone(40)

    monkeypatch.setattr(directory.log, "search", gone)
    answer = await admin.get("/v1/events?after=50")
    assert (answer.status_code, answer.json()["type"]) == (410, "/problems/position-gone")
    assert answer.json()["resume_after"] == 40


async def test_a_long_poll_is_answered_when_the_bell_rings(
    directory: Directory, admin: AsyncClient
) -> None:
    waiting = asyncio.create_task(page(admin, wait=30))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    await registered(admin)
    directory.doorbell.ring(LOG)
    async with asyncio.timeout(0.5):
        assert len((await waiting)["items"]) == 1


async def test_a_long_poll_finds_an_event_whose_bell_was_lost(admin: AsyncClient) -> None:
    waiting = asyncio.create_task(page(admin, wait=30))
    await asyncio.sleep(0.05)
    await registered(admin)
    async with asyncio.timeout(2):
        assert len((await waiting)["items"]) == 1


async def test_many_long_polls_share_one_read_of_new_events(
    directory: Directory, admin: AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting = [asyncio.create_task(page(admin, wait=30)) for _ in range(20)]
    await asyncio.sleep(0.1)
    reads: list[int] = []
    read = directory.log.read

    async def counted(after: int, limit: int) -> FeedPage:
        reads.append(after)
        return await read(after, limit)

    monkeypatch.setattr(directory.log, "read", counted)
    await registered(admin)
    reads.clear()
    directory.doorbell.ring(LOG)
    async with asyncio.timeout(2):
        pages = await asyncio.gather(*waiting)
    assert all([event["position"] for event in page["items"]] == ["1"] for page in pages)
    assert len(reads) <= 2


async def test_a_long_poll_ends_empty_at_its_timeout(admin: AsyncClient) -> None:
    assert (await page(admin, wait=1))["items"] == []


async def test_a_long_poll_of_a_caller_that_was_revoked_meanwhile_gets_no_event(
    directory: Directory, admin: AsyncClient
) -> None:
    directory.tokens.add("crm", Principal(actor="token:crm", permissions=PRESETS["reader"]))
    async with directory.as_("crm") as crm:
        waiting = asyncio.create_task(crm.get("/v1/events?wait=30"))
        await asyncio.sleep(0.05)
        directory.tokens.revoke("crm")
        await directory.callers.check()
        await registered(admin)
        directory.doorbell.ring(LOG)
        async with asyncio.timeout(2):
            assert (await waiting).status_code == 401


async def test_a_long_poll_skips_events_that_do_not_match(
    directory: Directory, admin: AsyncClient
) -> None:
    waiting = asyncio.create_task(page(admin, wait=1, types="user.renamed"))
    await asyncio.sleep(0.05)
    await registered(admin)
    directory.doorbell.ring(LOG)
    answer = await waiting
    assert (answer["items"], answer["next_after"]) == ([], 1)


async def test_a_long_poll_ends_when_the_server_stops(
    directory: Directory, admin: AsyncClient
) -> None:
    waiting = asyncio.create_task(page(admin, wait=30))
    await asyncio.sleep(0.05)
    directory.services.stopping.set()
    directory.doorbell.ring(LOG)
    async with asyncio.timeout(0.5):
        assert (await waiting)["items"] == []


async def test_a_long_poll_ends_when_the_client_disconnects(directory: Directory) -> None:
    messages = [{"type": "http.request", "body": b""}, {"type": "http.disconnect"}]

    async def receive() -> dict[str, Any]:
        return messages.pop(0) if len(messages) > 1 else messages[0]

    async def send(_: Any) -> None: ...

    scope = {
        "type": "http",
        "method": "GET",
        "path": "/v1/events",
        "query_string": b"wait=30",
        "headers": [(b"authorization", b"Bearer admin")],
    }
    asyncio.get_running_loop().call_later(0.05, directory.doorbell.ring, LOG)
    async with asyncio.timeout(3):
        await directory.app(scope, receive, send)
