"""Callers read their own writes, by the position that a command returned."""

import pytest
from httpx2 import AsyncClient

from interfaces.http.protocol.consistency import RecentCommands
from tests.support.http.directory import Directory, registered

QUERIES = ["/v1/users", "/v1/stats"]


@pytest.mark.parametrize("path", QUERIES)
async def test_a_query_is_not_answered_from_before_the_requested_position(
    directory: Directory, admin: AsyncClient, reader: AsyncClient, path: str
) -> None:
    await registered(admin)
    headers = {"Rollbook-Min-Position": "1"}
    directory.views.lag = 1
    behind = await reader.get(path, headers=headers)
    assert (behind.status_code, behind.json()["type"]) == (503, "/problems/view-behind")
    assert behind.json()["position"] == 0
    assert behind.headers["Retry-After"] == "1"
    assert (await reader.get(path)).status_code == 200
    directory.views.lag = 0
    answer = await reader.get(path, headers=headers)
    assert answer.headers["Rollbook-Position"] == str(await directory.log.head())


@pytest.mark.parametrize("path", [*QUERIES, "/v1/events", "/v1/projections"])
async def test_a_position_that_the_log_has_not_reached_is_refused(
    admin: AsyncClient, path: str
) -> None:
    answer = await admin.get(path, headers={"Rollbook-Min-Position": "7"})
    assert (answer.status_code, answer.json()["head"]) == (422, 0)
    assert answer.json()["errors"][0]["pointer"] == "Rollbook-Min-Position"


@pytest.mark.parametrize("position", ["", "-1", "1.0", "x", "9" * 19, '"1"'])
async def test_a_position_is_a_whole_number(admin: AsyncClient, position: str) -> None:
    answer = await admin.get("/v1/users", headers={"Rollbook-Min-Position": position})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == "Rollbook-Min-Position"


async def test_a_caller_reads_the_result_of_its_last_command(
    directory: Directory, admin: AsyncClient, reader: AsyncClient
) -> None:
    user = await registered(admin)
    directory.views.lag = 1
    path = f"/v1/users/{user['id']}"
    assert (await admin.get(path)).status_code == 503
    assert (await reader.get(path)).status_code == 404
    past = await admin.get(path, params={"version": 1})
    assert past.status_code == 200


def test_a_command_is_remembered_for_ten_seconds() -> None:
    now = 100.0
    recent = RecentCommands(lambda: now)
    recent.remember("token:a", 7)
    recent.remember("token:a", 5)
    assert (recent.position("token:a"), recent.position("token:b")) == (7, 0)
    now = 110.0
    assert recent.position("token:a") == 0


def test_only_the_last_ten_thousand_actors_are_remembered() -> None:
    recent = RecentCommands()
    for number in range(10_001):
        recent.remember(f"token:{number}", number + 1)
    assert recent.position("token:0") == 0
    assert recent.position("token:1") == 2
