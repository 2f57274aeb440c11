"""A disk that is full for some writes, or for a while: a write with an error is not recorded."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

import pytest
from httpx2 import AsyncClient, Response
from msgspec.structs import replace
from structlog.testing import capture_logs

from application.errors import DiskFull
from application.log.event_log import Appended
from infrastructure.event_store.disk import Disk
from infrastructure.keys import MasterKeys
from interfaces.composition.event_store import EventStore, open_event_store
from tests.support.http.in_process import in_process
from tests.support.log.drafts import registration
from tests.support.log.faults import fault_run
from tests.support.views.directory import execute

CALLERS = 32
MAX_ANSWER_SECONDS = 5.0

# Fails like a server that cannot extend a file: for all rows, or for those of one request. The
# append function plans a table scan at so high a cost that a Postgres before 18 would compile it
# for each row, so `jit` is off.
FULL = """
CREATE TABLE disk (is_full_for text NOT NULL);
CREATE FUNCTION extend_file() RETURNS trigger LANGUAGE plpgsql SET jit = off AS $$
BEGIN
    IF EXISTS (SELECT FROM disk WHERE NEW.correlation_id LIKE is_full_for) THEN
        RAISE 'could not extend file' USING ERRCODE = 'disk_full';
    END IF;
    RETURN NEW;
END $$;"""
WHEN_IT_IS_WRITTEN = """
CREATE TRIGGER full_disk BEFORE INSERT ON stored_events
FOR EACH ROW EXECUTE FUNCTION extend_file()"""
WHEN_IT_IS_COMMITTED = """
CREATE CONSTRAINT TRIGGER full_disk AFTER INSERT ON stored_events DEFERRABLE INITIALLY DEFERRED
FOR EACH ROW EXECUTE FUNCTION extend_file()"""


@pytest.fixture
async def store(database_url: str, master_keys: str) -> AsyncIterator[EventStore]:
    async with open_event_store(database_url, MasterKeys.parse(master_keys)) as store:
        yield store


@pytest.fixture(params=[WHEN_IT_IS_WRITTEN, WHEN_IT_IS_COMMITTED], ids=["written", "committed"])
async def disk(database_url: str, request: pytest.FixtureRequest) -> str:
    """A database whose disk can be full, when a row is written or when it is committed."""
    await execute(database_url, FULL)
    await execute(database_url, request.param)
    return database_url


@asynccontextmanager
async def full(disk: str, requests: str) -> AsyncGenerator[None]:
    await execute(disk, "INSERT INTO disk VALUES (%s)", requests)
    try:
        yield
    finally:
        await execute(disk, "DELETE FROM disk")


async def test_a_write_without_disk_space_fails_alone(store: EventStore, disk: str) -> None:
    drafts = [registration(key=f"{number}") for number in range(200)]
    large = drafts[77]
    drafts[77] = replace(large, context=replace(large.context, correlation_id="large"))
    async with full(disk, "large"):
        outcomes = await asyncio.gather(*map(store.log.append, drafts), return_exceptions=True)
    refused = [number for number, one in enumerate(outcomes) if not isinstance(one, Appended)]
    assert refused == [77]
    assert isinstance(outcomes[77], DiskFull)
    assert (await store.log.load(large.stream)).events == []
    assert (await store.log.append(drafts[77])).position == await store.feed.head()


async def test_nothing_is_recorded_while_the_disk_is_full_and_writes_continue_after(
    store: EventStore, disk: str
) -> None:
    async with fault_run(store.log, disk, CALLERS) as callers:
        await callers.wait_for_success()
        async with full(disk, "%"):
            # Writes that had started before are done when the first one fails.
            while not callers.failures:
                await asyncio.sleep(0.01)
            head = await store.feed.head()
            await asyncio.sleep(1.0)
            assert await store.feed.head() == head
        await callers.wait_for_success()
    assert {type(failure) for failure in callers.failures} == {DiskFull}
    assert max(one.seconds for one in callers.results) < MAX_ANSWER_SECONDS


async def test_answers_readiness_and_log_say_why_and_commands_recover(disk: str) -> None:
    async with in_process(disk) as client:
        assert (await registered(client, 1)).status_code == 201
        with capture_logs() as logs:
            async with full(disk, "%"):
                refused = [await registered(client, number) for number in (2, 3)]
                status, postgres = await readiness(client)
            assert {answer.status_code for answer in refused} == {503}
            for answer in refused:
                assert answer.json()["type"] == "/problems/unavailable"
                assert "cannot write, because its disk is full" in answer.json()["detail"]
            assert (status, postgres["state"]) == (503, "degraded")
            assert "cannot write, because its disk is full" in postgres["detail"]
            assert (await registered(client, 2)).status_code == 201
        status, postgres = await readiness(client)
        assert (status, postgres["state"]) == (200, "up")
    events = [entry["event"] for entry in logs if "postgres" in str(entry)]
    assert events == ["postgres_cannot_write", "dependency_down", "postgres_writes_again"]


async def test_without_further_commands_a_probe_finds_space_again(store: EventStore) -> None:
    disk = Disk(recheck_seconds=0.05)
    disk.refused()
    with pytest.raises(DiskFull):
        await disk.check(store.database)
    await asyncio.sleep(0.06)
    await disk.check(store.database)


async def registered(client: AsyncClient, number: int) -> Response:
    body = {"name": "Ada", "email": f"ada.{number}@example.org"}
    return await client.post("/v1/users", json=body)


async def readiness(client: AsyncClient) -> tuple[int, dict[str, str]]:
    answer = await client.get("/health/ready")
    return answer.status_code, answer.json()["checks"]["postgres"]
