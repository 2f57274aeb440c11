"""Liveness and readiness."""

import asyncio
from typing import Any

import pytest
from httpx2 import AsyncClient
from structlog.testing import capture_logs

from application.errors import DiskFull
from tests.support.http.directory import Directory


async def up() -> None: ...


async def down() -> None:
    raise ConnectionError("postgres://user:secret@host")


async def hang() -> None:
    await asyncio.sleep(60)


async def full() -> None:
    raise DiskFull


async def readiness(directory: Directory) -> tuple[int, dict[str, Any]]:
    """The status of the answer, and its body with only the state of each check."""
    status, body = await answered(directory)
    states = {name: check["state"] for name, check in body["checks"].items()}
    return status, {**body, "checks": states}


async def answered(directory: Directory) -> tuple[int, dict[str, Any]]:
    async with directory.as_(None) as client:
        answer = await client.get("/health/ready")
    assert answer.headers["Cache-Control"] == "no-store"
    assert "secret" not in answer.text
    return answer.status_code, answer.json()


async def test_a_process_that_answers_is_live(anonymous: AsyncClient) -> None:
    answer = await anonymous.get("/health/live")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


async def test_a_process_is_ready_when_all_dependencies_are_up() -> None:
    directory = Directory(readiness={"postgres": up, "log": up})
    checks = {"postgres": "up", "log": "up"}
    assert await readiness(directory) == (200, {"status": "ready", "checks": checks})


async def test_a_dependency_that_is_down_is_named() -> None:
    directory = Directory(readiness={"postgres": down, "log": up})
    checks = {"postgres": "down", "log": "up"}
    assert await readiness(directory) == (503, {"status": "not-ready", "checks": checks})


async def test_a_process_without_the_current_master_key_says_so_and_stays_ready() -> None:
    directory = Directory(readiness={"postgres": up, "master-key": down})
    checks = {"postgres": "up", "master-key": "down"}
    assert await readiness(directory) == (200, {"status": "ready", "checks": checks})


async def test_a_full_disk_is_named_with_its_reason_and_the_process_is_not_ready() -> None:
    directory = Directory(readiness={"postgres": full})
    status, body = await answered(directory)
    assert (status, body["status"]) == (503, "not-ready")
    assert body["checks"]["postgres"]["state"] == "degraded"
    assert "cannot write, because its disk is full" in body["checks"]["postgres"]["detail"]


async def test_a_check_says_since_when_and_each_change_is_logged_once() -> None:
    states = [up, down, down, up]

    async def check() -> None:
        await states.pop(0)()

    directory = Directory(readiness={"postgres": check})
    with capture_logs() as logs:
        since = list[str]()
        for _ in range(4):
            _, body = await answered(directory)
            since.append(body["checks"]["postgres"]["since"])
    assert since[1] == since[2]
    assert since == sorted(since)
    assert len(set(since)) == 3
    assert [entry["event"] for entry in logs] == ["dependency_down", "dependency_up"]


async def test_a_dependency_that_hangs_is_down_within_two_seconds() -> None:
    directory = Directory(readiness={"postgres": hang, "log": hang})
    async with asyncio.timeout(2):
        status, _ = await readiness(directory)
    assert status == 503


async def test_a_process_that_is_stopping_is_not_ready(directory: Directory) -> None:
    directory.services.stopping.set()
    assert await readiness(directory) == (503, {"status": "not-ready", "checks": {}})


@pytest.mark.parametrize("path", ["/health/live", "/health/ready"])
async def test_health_answers_head_requests(anonymous: AsyncClient, path: str) -> None:
    assert (await anonymous.head(path)).status_code == 200
