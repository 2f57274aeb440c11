"""One user whose key or events cannot be read, in a directory of many: nobody else notices.

The user is shown as parked, can be erased, and is retried when the fault is repaired.
"""

import asyncio
from typing import Any, Final
from uuid import UUID

import pytest
from httpx2 import AsyncClient
from msgspec import Struct

from interfaces.http.app import OPERATIONS
from interfaces.roles import Roles
from tests.support.http.in_process import SERVING, in_process
from tests.support.servers.postgres import scaled
from tests.support.views.directory import execute

USERS: Final = min(scaled(120), 1000)
API_ALONE: Final[Roles] = frozenset({"api"})
WITH_WORKER: Final[Roles] = frozenset({*SERVING, "worker"})
PROJECTIONS: Final = ("users", "headcount")


class Fault(Struct, frozen=True):
    """A statement that breaks the user, one that repairs it, and the error that is shown."""

    breaks: str
    repairs: str
    error: str


KEY: Final = "UPDATE subject_keys SET {} WHERE subject = %s"
EVENT: Final = "UPDATE stored_events SET {} WHERE originator_id = %s AND originator_version = 2"
FLIPPED: Final = KEY.format("wrapped = set_byte(wrapped, 20, 255 - get_byte(wrapped, 20))")
FAULTS: Final = {
    "broken key": Fault(FLIPPED, FLIPPED, "SealBroken"),
    "unknown key": Fault(
        KEY.format("master_id = reverse(master_id)"),
        KEY.format("master_id = reverse(master_id)"),
        "UnknownMasterKey",
    ),
    "unknown topic": Fault(
        EVENT.format("topic = 'user.titled'"),
        EVENT.format("topic = 'user.renamed'"),
        "UnknownTopic",
    ),
    "unknown schema version": Fault(
        EVENT.format("state = overlay(state PLACING '{\"v\":99,' FROM 1 FOR 1)"),
        EVENT.format("state = overlay(state PLACING '{' FROM 1 FOR 8)"),
        "UnknownSchemaVersion",
    ),
    "malformed state": Fault(
        EVENT.format("state = overlay(state PLACING '[' FROM 1 FOR 1)"),
        EVENT.format("state = overlay(state PLACING '{' FROM 1 FOR 1)"),
        "MalformedState",
    ),
}
LOST_KEY: Final = "DELETE FROM subject_keys WHERE subject = %s"

# Nothing listens there.
ENDPOINT: Final = "http://127.0.0.1:9/hook"
# Each operation of the API: its path for another user, its body, and the status of the answer.
REQUESTS: Final[list[tuple[str, str, Any, int]]] = [
    ("register_user", "/v1/users", {"name": "New", "email": "new@example.org"}, 201),
    ("replace_user", "/v1/users/{user}", None, 200),
    ("change_user", "/v1/users/{user}", {"name": "Changed"}, 200),
    ("suspend_user", "/v1/users/{user}/suspend", {}, 200),
    ("reinstate_user", "/v1/users/{user}/reinstate", {}, 200),
    ("read_user", "/v1/users/{user}", None, 200),
    ("read_user", "/v1/users/{user}?version=1", None, 200),
    ("list_users", "/v1/users?q=changed&sort=-name", None, 200),
    ("read_history", "/v1/users/{user}/history", None, 200),
    ("read_blame", "/v1/users/{user}/blame", None, 200),
    ("delete_user", "/v1/users/{user}", None, 204),
    ("restore_user", "/v1/users/{user}/restore", {}, 200),
    ("read_audit", "/v1/audit?limit=200", None, 200),
    ("list_events", "/v1/events?limit=1000", None, 200),
    ("read_event", "/v1/events/{event}", None, 200),
    ("read_stats", "/v1/stats", None, 200),
    ("list_projections", "/v1/projections", None, 200),
    ("read_stored_views", "/v1/projections/users/views/{user}", None, 200),
    ("list_parked", "/v1/projections/users/parked", None, 200),
    ("retry_parked", "/v1/projections/users/parked/{user}/retry", {}, 404),
    (
        "skip_parked",
        "/v1/projections/users/parked/{user}/skip",
        {"version": 1, "reason": "none"},
        404,
    ),
    ("drop_projection", "/v1/projections/none", {}, 404),
    ("unskip_parked", "/v1/projections/users/parked/{user}/unskip", {"version": 1}, 404),
    ("pause_projection", "/v1/projections/headcount/pause", {}, 200),
    ("resume_projection", "/v1/projections/headcount/resume", {}, 200),
    ("rebuild_projection", "/v1/projections/headcount/rebuild", {}, 202),
    ("verify_projection", "/v1/projections/users/verify", {}, 202),
    ("roll_back_projection", "/v1/projections/headcount/rollback", {"to": 1}, 202),
    ("retry_all_parked", "/v1/projections/headcount/parked/retry", {}, 202),
    ("read_relay", "/v1/relay", None, 200),
    ("list_rejected", "/v1/relay/rejected", None, 200),
    ("replay_rejected", "/v1/relay/rejected/replay", {}, 202),
    ("list_reactions", "/v1/reactions", None, 200),
    ("list_parked_users", "/v1/reactions/welcome/parked", None, 200),
    ("retry_parked_user", "/v1/reactions/welcome/parked/{user}/retry", {}, 404),
    ("skip_parked_user", "/v1/reactions/welcome/parked/{user}/skip", {"reason": "none"}, 404),
    ("disable_reaction", "/v1/reactions/welcome/disable", {}, 200),
    ("enable_reaction", "/v1/reactions/welcome/enable", {}, 200),
    ("create_webhook", "/v1/webhooks", {"url": ENDPOINT}, 201),
    ("list_webhooks", "/v1/webhooks", None, 200),
    ("read_webhook", "/v1/webhooks/{webhook}", None, 200),
    ("change_webhook", "/v1/webhooks/{webhook}", {"personal": "open"}, 200),
    ("pause_webhook", "/v1/webhooks/{webhook}/pause", {}, 200),
    ("resume_webhook", "/v1/webhooks/{webhook}/resume", {}, 200),
    ("replay_webhook", "/v1/webhooks/{webhook}/replay", {"after": 0}, 200),
    ("test_webhook", "/v1/webhooks/{webhook}/test", {}, 200),
    ("rotate_webhook_secret", "/v1/webhooks/{webhook}/rotate-secret", {}, 200),
    ("list_webhook_attempts", "/v1/webhooks/{webhook}/attempts", None, 200),
    ("list_webhook_parked", "/v1/webhooks/{webhook}/parked", None, 200),
    ("retry_webhook_parked", "/v1/webhooks/{webhook}/parked/{user}/retry", {}, 404),
    ("delete_webhook", "/v1/webhooks/{webhook}", None, 204),
    ("create_token", "/v1/tokens", {"name": "crm", "preset": "reader"}, 201),
    ("list_tokens", "/v1/tokens", None, 200),
    ("read_token", "/v1/tokens/{token}", None, 200),
    ("rotate_token", "/v1/tokens/{token}/rotate", {}, 200),
    ("revoke_token", "/v1/tokens/{token}", None, 204),
    ("create_export", "/v1/exports", {"what": "audit", "format": "ndjson"}, 202),
    ("create_export", "/v1/exports", {"what": "users", "format": "csv"}, 202),
    ("read_job_result", "/v1/jobs/{job}/result", None, 200),
    ("read_job", "/v1/jobs/{job}", None, 200),
    ("cancel_job", "/v1/jobs/{job}/cancel", {}, 200),
    ("list_jobs", "/v1/jobs", None, 200),
    ("erase_user", "/v1/users/{user}/erase", {}, 200),
    ("create_stream_ticket", "/v1/stream/tickets", {}, 201),
    ("read_me", "/v1/me", None, 200),
    ("read_liveness", "/health/live", None, 200),
    ("read_readiness", "/health/ready", None, 200),
    ("read_metrics", "/metrics", None, 200),
]
METHODS: Final = {operation.name: operation.method for operation in OPERATIONS}


def body_of(number: int) -> dict[str, Any]:
    return {"name": f"Number {number}", "email": f"n{number}@example.org"}


async def registered(client: AsyncClient, number: int) -> UUID:
    answer = await client.post("/v1/users", json=body_of(number))
    return UUID(answer.raise_for_status().json()["id"])


async def filled(client: AsyncClient) -> list[UUID]:
    """Many users; the first has three events."""
    numbers = range(USERS)
    users = [
        user
        for begin in numbers[::50]
        for user in await asyncio.gather(
            *(registered(client, number) for number in numbers[begin : begin + 50])
        )
    ]
    for body in ({"name": "Renamed"}, {"role": "owner"}):
        (await client.patch(f"/v1/users/{users[0]}", json=body)).raise_for_status()
    return users


async def finished(client: AsyncClient, job: str) -> dict[str, Any]:
    async with asyncio.timeout(60):
        while (found := (await client.get(f"/v1/jobs/{job}")).json())["state"] in (
            "queued",
            "running",
        ):
            await asyncio.sleep(0.05)
    return found


async def use_every_route(client: AsyncClient, user: UUID) -> None:
    """Each operation for a user that is whole; a job that it submits must succeed."""
    event = (await client.get("/v1/events?limit=1000")).json()["items"][-1]["id"]
    job = webhook = token = ""
    for name, path, body, status in REQUESTS:
        if name == "replace_user":
            now = (await client.get(f"/v1/users/{user}")).json()
            names = ("name", "email", "role", "external_id", "attributes")
            body = {each: now[each] for each in names} | {"role": "owner"}
        path = path.format(user=user, event=event, job=job, webhook=webhook, token=token)
        answer = await client.request(METHODS[name], path, json=body)
        assert answer.status_code == status, (name, answer.text)
        if name == "create_webhook":
            webhook = answer.json()["id"]
        if name == "create_token":
            token = answer.json()["id"]
        if status == 202:
            job = answer.json()["id"]
            assert (await finished(client, job))["state"] == "succeeded", name


async def caught_up(client: AsyncClient) -> None:
    async with asyncio.timeout(30):
        while any(each["lag"] for each in (await client.get("/v1/projections")).json()["items"]):
            await asyncio.sleep(0.05)


async def parked(client: AsyncClient) -> dict[str, list[tuple[str, str]]]:
    """The parked streams of each projection, with the kind of the error."""
    found: dict[str, list[tuple[str, str]]] = {}
    for name in PROJECTIONS:
        items = (await client.get(f"/v1/projections/{name}/parked")).json()["items"]
        found[name] = [(each["stream"], each["error"].partition(":")[0]) for each in items]
    return found


def test_every_operation_is_tried() -> None:
    assert {name for name, *_ in REQUESTS} == set(METHODS)


@pytest.mark.parametrize("name", [*FAULTS, "lost key"])
async def test_every_route_works_for_everybody_else_and_the_user_can_be_erased(
    database_url: str, name: str
) -> None:
    fault = FAULTS.get(name, Fault(LOST_KEY, "", ""))
    async with in_process(database_url, API_ALONE) as client:
        broken, other, *_ = await filled(client)
    await execute(database_url, fault.breaks, broken)
    async with in_process(database_url, WITH_WORKER, allow_unsafe_targets=True) as client:
        await caught_up(client)
        shown = {} if name == "lost key" else {str(broken): fault.error}
        assert await parked(client) == {each: [*shown.items()] for each in PROJECTIONS}
        page = (await client.get("/v1/users?limit=200&sort=created_at")).json()
        # The broken user may be the first.
        assert len({user["id"] for user in page["items"]} - {str(broken)}) >= min(USERS - 1, 199)
        await use_every_route(client, other)
        types = [
            event["type"]
            for event in (await client.get(f"/v1/events?user={broken}")).json()["items"]
        ]
        assert len(types) == 3
        assert "unreadable" not in types
        change = await client.patch(f"/v1/users/{broken}", json={"name": "X"})
        if name == "lost key":
            history = (await client.get(f"/v1/users/{broken}/history")).json()["items"]
            assert {
                item["personal"] for item in history if item["type"] != "user.role_changed"
            } == {"erased"}
            assert change.status_code == 410
        else:
            problem = change.json()
            assert (change.status_code, problem["type"]) == (503, "/problems/unavailable")
            assert fault.error in problem["detail"] or name == "unknown key"
            assert "nothing was recorded" in problem["detail"]
        # The view follows what happened meanwhile.
        assert (await parked(client))["users"] == [*shown.items()]
        erased = await client.post(f"/v1/users/{broken}/erase", json={})
        assert erased.status_code == 200, erased.text
        assert "Renamed" not in (await client.get("/v1/users?q=renamed&status=erased,active")).text
        again = await client.post("/v1/users", json=body_of(0))
        assert again.status_code == 201, again.text


@pytest.mark.parametrize("name", FAULTS)
async def test_a_repaired_user_is_retried_automatically(
    database_url: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("application.projector.automatic_retry._PAUSE_SECONDS", 0.1)
    fault = FAULTS[name]
    async with in_process(database_url, API_ALONE) as client:
        broken, *_ = await filled(client)
    await execute(database_url, fault.breaks, broken)
    async with in_process(database_url) as client:
        await caught_up(client)
        assert (await parked(client))["users"] == [(str(broken), fault.error)]
        await execute(database_url, fault.repairs, broken)
        # Nothing happens before the pause is over.
        await asyncio.sleep(0.5)
        assert (await parked(client))["users"] == [(str(broken), fault.error)]
        await execute(database_url, "UPDATE parked SET retry_at = now() WHERE retry_at > now()")
        async with asyncio.timeout(10):
            while any((await parked(client)).values()):
                await asyncio.sleep(0.05)
        assert (await client.get(f"/v1/users/{broken}")).json()["name"] == "Renamed"


async def test_a_projector_that_begins_to_lead_retries_at_once(database_url: str) -> None:
    """As after an upgrade to a release that knows the type of the event."""
    fault = FAULTS["unknown topic"]
    async with in_process(database_url, API_ALONE) as client:
        broken, *_ = await filled(client)
    await execute(database_url, fault.breaks, broken)
    async with in_process(database_url) as client:
        await caught_up(client)
        assert (await parked(client))["users"] == [(str(broken), fault.error)]
    await execute(database_url, fault.repairs, broken)
    async with in_process(database_url) as client, asyncio.timeout(10):
        while any((await parked(client)).values()):
            await asyncio.sleep(0.05)
