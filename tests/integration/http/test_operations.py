"""What all operations do in the same way: the checks of a request, and the cursors of lists."""

import pytest
from httpx2 import AsyncClient

from tests.support.http.directory import Directory, registered

ADMINISTRATIVE = (
    "/v1/projections/users/rebuild",
    "/v1/projections/users/pause",
    "/v1/jobs/019a8f2e-6c1b-7d3a-9f00-2b1c4d5e6f70/cancel",
)
LISTS = ("/v1/users", "/v1/audit", "/v1/jobs", "/v1/projections/users/parked")


@pytest.mark.parametrize("path", ADMINISTRATIVE)
async def test_an_administrative_command_names_all_that_is_wrong_at_once(
    admin: AsyncClient, path: str
) -> None:
    headers = {"Idempotency-Key": "not one key"}
    answer = await admin.post(f"{path}?parameter=1", json={"field": 1}, headers=headers)
    assert answer.status_code == 422
    pointers = [error["pointer"] for error in answer.json()["errors"]]
    assert pointers == ["parameter", "#/field", "Idempotency-Key"]


async def test_a_ticket_request_names_all_that_is_wrong_at_once(admin: AsyncClient) -> None:
    answer = await admin.post("/v1/stream/tickets?parameter=1", json={"field": 1})
    assert [error["pointer"] for error in answer.json()["errors"]] == ["parameter", "#/field"]


@pytest.mark.parametrize("path", [each for each in LISTS if each != "/v1/users"])
async def test_a_cursor_of_one_list_is_none_of_another(admin: AsyncClient, path: str) -> None:
    await registered(admin)
    await registered(admin, email="grace@example.org")
    cursor = (await admin.get("/v1/users?limit=1")).json()["next_cursor"]
    assert cursor is not None
    answer = await admin.get(path, params={"cursor": cursor})
    assert answer.status_code == 422
    assert [error["pointer"] for error in answer.json()["errors"]] == ["cursor"]


@pytest.mark.parametrize("path", LISTS)
async def test_every_list_bounds_its_pages_in_the_same_way(admin: AsyncClient, path: str) -> None:
    for limit in ("0", "201", "ten"):
        answer = await admin.get(path, params={"limit": limit})
        assert [error["pointer"] for error in answer.json()["errors"]] == ["limit"]
    assert (await admin.get(path, params={"limit": "200"})).status_code == 200


@pytest.mark.parametrize("path", ["/health/live", "/health/ready", "/metrics"])
async def test_a_monitor_may_send_any_parameters_and_headers(
    directory: Directory, path: str
) -> None:
    headers = {"Accept": "text/css", "Rollbook-Min-Position": "none"}
    async with directory.as_(None) as client:
        answer = await client.get(f"{path}?at=1&at=2", headers=headers)
    assert answer.status_code == 200
