"""Liveness and readiness."""

import asyncio

import pytest
from httpx2 import AsyncClient

from tests.support.http.directory import Directory


async def fine() -> None: ...


async def broken() -> None:
    raise ConnectionError("postgres://user:secret@host")


async def stuck() -> None:
    await asyncio.sleep(60)


async def readiness(directory: Directory) -> tuple[int, dict[str, object]]:
    async with directory.as_(None) as client:
        answer = await client.get("/health/ready")
    assert answer.headers["Cache-Control"] == "no-store"
    assert "secret" not in answer.text
    return answer.status_code, answer.json()


async def test_a_process_that_answers_lives(stranger: AsyncClient) -> None:
    answer = await stranger.get("/health/live")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


async def test_a_process_is_ready_when_all_dependencies_are_there() -> None:
    directory = Directory(readiness={"postgres": fine, "log": fine})
    checks = {"postgres": "up", "log": "up"}
    assert await readiness(directory) == (200, {"status": "ready", "checks": checks})


async def test_what_is_missing_is_named() -> None:
    directory = Directory(readiness={"postgres": broken, "log": fine})
    checks = {"postgres": "down", "log": "up"}
    assert await readiness(directory) == (503, {"status": "not-ready", "checks": checks})


async def test_a_dependency_that_hangs_is_missing_within_two_seconds() -> None:
    directory = Directory(readiness={"postgres": stuck, "log": stuck})
    async with asyncio.timeout(2):
        status, _ = await readiness(directory)
    assert status == 503


async def test_a_process_that_stops_is_not_ready(directory: Directory) -> None:
    directory.services.stopping.set()
    assert await readiness(directory) == (503, {"status": "not-ready", "checks": {}})


@pytest.mark.parametrize("path", ["/health/live", "/health/ready"])
async def test_health_can_be_asked_by_head(stranger: AsyncClient, path: str) -> None:
    assert (await stranger.head(path)).status_code == 200
