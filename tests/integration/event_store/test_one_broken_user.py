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
from tests.support.http.every_operation import REQUESTS
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
