"""An erasure is recorded at once; its other steps complete later, whichever process dies."""

import asyncio
import os
import signal
from collections.abc import AsyncGenerator, Iterator
from typing import Any, Final

import httpx2
import psycopg
import pytest

from infrastructure.embedded.postgres import EmbeddedPostgres
from tests.support.jobs.personal_data_search import Words, in_redis, in_tables
from tests.support.servers.postgres_backends import frozen
from tests.support.servers.prepared_data import prepared
from tests.support.servers.redis import PrivateRedis, private_redis
from tests.support.servers.rollbook import RunningRollbook

Json = dict[str, Any]

WORDS: Final = Words("Quasarhopper")
TIMEOUT_SECONDS: Final = 40.0


@pytest.fixture(scope="module")
def redis() -> Iterator[PrivateRedis]:
    with private_redis() as server:
        yield server


@pytest.fixture(scope="module")
def rollbook(
    tmp_path_factory: pytest.TempPathFactory, redis: PrivateRedis
) -> Iterator[RunningRollbook]:
    data_dir = prepared(tmp_path_factory.mktemp("rollbook") / "data")
    with RunningRollbook(data_dir, "--split", ROLLBOOK_REDIS_URL=redis.url) as rollbook:
        yield rollbook


@pytest.fixture
async def client(rollbook: RunningRollbook) -> AsyncGenerator[httpx2.AsyncClient]:
    headers = {"Authorization": f"Bearer {rollbook.token}"}
    async with httpx2.AsyncClient(base_url=rollbook.url, headers=headers, timeout=20) as client:
        yield client


@pytest.fixture
async def path(client: httpx2.AsyncClient, redis: PrivateRedis) -> str:
    """The path of a user that is in the views and in the cache."""
    user: Json = {"name": "Zyx Quasarhopper", "email": f"{os.urandom(6).hex()}@example.org"}
    answer = await client.post("/v1/users", json=user)
    path = answer.headers["Location"]
    at_least = {"Rollbook-Min-Position": answer.headers["Rollbook-Position"]}
    for _ in range(100):
        await client.get(path, headers=at_least)
        if await asyncio.to_thread(in_redis, redis.url, WORDS):
            return path
        await asyncio.sleep(0.05)
    raise AssertionError("the cache never had the user")


def in_views(rollbook: RunningRollbook) -> bool:
    return "users_g1" in in_tables(database(rollbook), WORDS)


def database(rollbook: RunningRollbook) -> str:
    return EmbeddedPostgres(rollbook.data_dir / "postgres").url


async def erase(client: httpx2.AsyncClient, path: str, key: str = "erase") -> httpx2.Response:
    return await client.post(f"{path}/erase", headers={"Idempotency-Key": f"{key}:{path}"})


async def succeeded(client: httpx2.AsyncClient, job: str) -> Json:
    """Waits until a job has succeeded, and returns its result."""
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while (answer := (await client.get(job)).json())["state"] != "succeeded":
            assert answer["state"] in ("queued", "running"), answer
            await asyncio.sleep(0.1)
    return answer["result"]


async def test_while_the_projector_is_frozen_a_job_waits_and_then_has_the_receipt(
    rollbook: RunningRollbook, redis: PrivateRedis, client: httpx2.AsyncClient, path: str
) -> None:
    with frozen(rollbook.children()["projector"]):
        answer = await erase(client, path)
        assert (answer.status_code, answer.json()["kind"]) == (202, "erasure")
        assert in_views(rollbook)
    receipt = await succeeded(client, answer.headers["Location"])
    assert "cache" in receipt["covers"]
    assert (in_tables(database(rollbook), WORDS), in_redis(redis.url, WORDS)) == ({}, {})
    again = await erase(client, path)
    assert (again.status_code, again.json()) == (200, receipt)
    assert again.headers["Idempotency-Replayed"] == "true"


async def test_a_retry_completes_an_erasure_whose_api_process_was_killed(
    rollbook: RunningRollbook, redis: PrivateRedis, client: httpx2.AsyncClient, path: str
) -> None:
    with frozen(rollbook.children()["projector"]):
        request = asyncio.create_task(erase(client, path))
        await asyncio.to_thread(_wait_until_recorded, database(rollbook), path[-36:])
        os.kill(rollbook.children()["api"], signal.SIGKILL)
        with pytest.raises(httpx2.HTTPError):
            await request
        assert in_views(rollbook)
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while (answer := await _erase_or_none(client, path)) is None or answer.status_code != 200:
            await asyncio.sleep(0.1)
    assert answer.headers["Idempotency-Replayed"] == "true"
    assert (in_tables(database(rollbook), WORDS), in_redis(redis.url, WORDS)) == ({}, {})
    history = (await client.get("/v1/events", params={"user": path[-36:]})).json()["items"]
    assert [event["type"] for event in history] == ["user.registered", "user.erased"]
    assert answer.json()["position"] == int(history[1]["position"])


async def _erase_or_none(client: httpx2.AsyncClient, path: str) -> httpx2.Response | None:
    try:
        return await erase(client, path)
    except httpx2.HTTPError:
        return None


def _wait_until_recorded(database_url: str, user_id: str) -> None:
    """Returns when the erasure is in the log."""
    statement = b"SELECT FROM stored_events WHERE topic = 'user.erased' AND originator_id = %s"
    with psycopg.connect(database_url, autocommit=True) as connection:
        for _ in range(500):
            if connection.execute(statement, (user_id,)).rowcount:
                return
    raise AssertionError("the erasure was never recorded")


async def test_while_redis_is_away_the_job_waits_and_no_cached_copy_remains(
    rollbook: RunningRollbook, redis: PrivateRedis, client: httpx2.AsyncClient, path: str
) -> None:
    redis.signal(signal.SIGSTOP)
    try:
        answer = await erase(client, path)
        assert answer.status_code == 202, answer.text
    finally:
        redis.signal(signal.SIGCONT)
    assert "cache" in (await succeeded(client, answer.headers["Location"]))["covers"]
    assert (in_tables(database(rollbook), WORDS), in_redis(redis.url, WORDS)) == ({}, {})


@pytest.mark.long
async def test_an_erasure_job_whose_worker_was_killed_still_succeeds(
    rollbook: RunningRollbook, client: httpx2.AsyncClient, path: str
) -> None:
    with frozen(rollbook.children()["projector"]):
        answer = await erase(client, path)
        job = answer.headers["Location"]
        async with asyncio.timeout(TIMEOUT_SECONDS):
            while (await client.get(job)).json()["error"] is None:
                await asyncio.sleep(0.05)
        os.kill(rollbook.children()["worker"], signal.SIGKILL)
    assert (await succeeded(client, job))["user_id"] == path[-36:]
