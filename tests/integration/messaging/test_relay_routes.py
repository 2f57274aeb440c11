"""The relay over HTTP: how far it is, what it set aside, and the job that publishes it again."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from httpx2 import AsyncClient
from uuid_utils.compat import uuid7

from application.messaging.relay import REFUSED, SetAside
from tests.support.http.directory import Directory

ROUTES = [
    ("GET", "/v1/relay"),
    ("GET", "/v1/relay/rejected"),
    ("POST", "/v1/relay/rejected/replay"),
]


@pytest.fixture
def directory() -> Directory:
    return Directory()


@pytest.fixture
async def admin(directory: Directory) -> AsyncIterator[AsyncClient]:
    async with directory.as_("admin") as client:
        yield client


def set_aside(directory: Directory, *positions: int) -> None:
    directory.relay.position = max(positions)
    directory.relay.set_aside += [
        SetAside(
            position=position,
            event_id=uuid7(),
            type="user.renamed",
            stream=uuid7(),
            error=REFUSED,
        )
        for position in positions
    ]


@pytest.mark.parametrize(("method", "path"), ROUTES)
@pytest.mark.parametrize("token", ["writer", "auditor", "reader"])
async def test_the_relay_is_for_administrators(
    directory: Directory, token: str, method: str, path: str
) -> None:
    async with directory.as_(token) as client:
        answer = await client.request(method, path)
    assert (answer.status_code, answer.json()["permission"]) == (403, "admin")


async def test_the_status_counts_what_was_set_aside(
    directory: Directory, admin: AsyncClient
) -> None:
    before = (await admin.get("/v1/relay")).json()
    assert (before["rejected"], before["last_rejected_at"], before["state"]) == (0, None, "stopped")
    set_aside(directory, 3, 8)
    after = (await admin.get("/v1/relay")).json()
    assert (after["position"], after["rejected"]) == (8, 2)
    assert after["last_rejected_at"].endswith("Z")


async def test_events_that_were_set_aside_are_listed_in_pages(
    directory: Directory, admin: AsyncClient
) -> None:
    set_aside(directory, *range(10, 17))
    items: list[dict[str, Any]] = []
    query: dict[str, Any] = {"limit": 3}
    while True:
        page = (await admin.get("/v1/relay/rejected", params=query)).json()
        items += page["items"]
        if page["next_cursor"] is None:
            break
        query["cursor"] = page["next_cursor"]
    assert [item["position"] for item in items] == list(range(10, 17))
    assert set(items[0]) == {"position", "event_id", "type", "stream", "error", "set_aside_at"}
    assert items[0]["error"] == REFUSED


async def test_a_replay_is_one_job_until_it_has_ended(admin: AsyncClient) -> None:
    first = await admin.post("/v1/relay/rejected/replay")
    again = await admin.post("/v1/relay/rejected/replay", json={})
    assert (first.status_code, again.status_code) == (202, 202)
    assert first.json()["id"] == again.json()["id"]
    job = (await admin.get(first.headers["Location"])).json()
    assert (job["kind"], job["arguments"]) == ("relay-replay", {})
