"""Postgres is away: Rollbook answers correctly in time, and recovers without a restart."""

import asyncio
import os
import signal
import tempfile
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from time import monotonic
from typing import Any, Final

import httpx2
import pytest
from msgspec import Struct

from infrastructure.embedded.errors import NoServerFound
from infrastructure.embedded.postgres import EmbeddedPostgres
from tests.support.http.agreement import assert_agreement, assert_views_are_a_fresh_fold, head
from tests.support.http.load import Load, unaccepted
from tests.support.servers.postgres import postgres_on, skip_or_fail
from tests.support.servers.rollbook import RunningRollbook, children_of

ANSWER_SECONDS: Final = 5.0
RECOVERY_SECONDS: Final = 5.0
# Longer than a command waits for Postgres to come back.
AWAY_SECONDS: Final = 4.5

READY: Final = (200, "ready", {"postgres": "up", "master-key": "up"})
NOT_READY: Final = (503, "not-ready", {"postgres": "down", "master-key": "up"})
CACHED: Final = ("/v1/users", "/v1/users/{user}", "/v1/stats")
QUERIES: Final = (
    *CACHED,
    "/v1/users/{user}?version=1",
    "/v1/projections",
    "/v1/events",
    "/v1/events?after=1&wait=20",
)


class Installation(Struct):
    """A Rollbook on an external Postgres."""

    rollbook: RunningRollbook
    postgres: EmbeddedPostgres


@pytest.fixture(scope="module")
def installation() -> Iterator[Installation]:
    with tempfile.TemporaryDirectory(prefix="rb-") as directory:
        postgres = postgres_on(Path(directory, "postgres"))
        try:
            url = asyncio.run(postgres.start())
            with RunningRollbook(Path(directory, "data"), ROLLBOOK_DATABASE_URL=url) as rollbook:
                yield Installation(rollbook, postgres)
        except NoServerFound as error:
            skip_or_fail(str(error))
        finally:
            asyncio.run(postgres.stop())


@asynccontextmanager
async def stopped(server: EmbeddedPostgres) -> AsyncGenerator[None]:
    await server.stop()
    try:
        yield
    finally:
        await server.start()


@asynccontextmanager
async def killed(server: EmbeddedPostgres) -> AsyncGenerator[None]:
    assert server.pid is not None
    os.kill(server.pid, signal.SIGKILL)
    await server.wait()
    try:
        yield
    finally:
        await server.start()


@asynccontextmanager
async def frozen(server: EmbeddedPostgres) -> AsyncGenerator[None]:
    assert server.pid is not None
    processes = [server.pid, *children_of(server.pid)]
    for process in processes:
        os.kill(process, signal.SIGSTOP)
    try:
        yield
    finally:
        for process in processes:
            os.kill(process, signal.SIGCONT)


@pytest.mark.parametrize(
    "away", [killed, *(pytest.param(away, marks=pytest.mark.long) for away in (stopped, frozen))]
)
async def test_while_postgres_is_away_answers_are_correct_and_in_time_and_then_service_resumes(
    installation: Installation,
    away: Callable[[EmbeddedPostgres], AbstractAsyncContextManager[None]],
) -> None:
    rollbook = installation.rollbook
    parts = rollbook.children()
    async with Load.on(rollbook.url, rollbook.token, give_up_rate=1.0) as load:
        before_load = await head(load.client)
        await load.start()
        await load.wait_for_accepted(RECOVERY_SECONDS)
        user = load.users()[-1]
        async with away(installation.postgres):
            away_time = asyncio.create_task(asyncio.sleep(AWAY_SECONDS))
            assert await status_and_body(load.client, "/health/live") == (200, {"status": "ok"})
            assert await readiness(load.client) == NOT_READY
            await assert_no_stale_read(load, user)
            await away_time
        await load.wait_for_accepted(RECOVERY_SECONDS)
        await load.stop()
        assert await readiness(load.client) == READY
        assert rollbook.children() == parts
        assert_refusals_came_in_time(load)
        await assert_agreement(load.client, load.sent, after=before_load)
        await load.repeat(unaccepted(load.sent))
        assert unaccepted(load.sent) == []
        await assert_agreement(load.client, load.sent, after=before_load)
    await assert_views_are_a_fresh_fold(installation.postgres.url, rollbook.master_key)


async def readiness(client: httpx2.AsyncClient) -> tuple[int, str, dict[str, str]]:
    """The status of the answer, what it says, and the states of the dependencies of all answers."""
    status, body = await status_and_body(client, "/health/ready")
    states = {name: body["checks"][name]["state"] for name in ("postgres", "master-key")}
    return status, body["status"], states


async def assert_no_stale_read(load: Load, user: str) -> None:
    """Every query is refused in time, or answered by a cache that has every accepted command."""
    accepted = [one.accepted for one in load.sent if one.accepted is not None]
    acknowledged = max(answer.position or 0 for answer in accepted)
    paths = [path.format(user=user) for path in QUERIES]
    answers = await asyncio.gather(*(answer_in_time(load.client, path) for path in paths))
    for path, answer in zip(QUERIES, answers, strict=True):
        if path in CACHED and answer.status_code == 200:
            assert int(answer.headers["Rollbook-Position"]) >= acknowledged, path
        else:
            slug = answer.json().get("type")
            assert (answer.status_code, slug) == (503, "/problems/unavailable"), path


def assert_refusals_came_in_time(load: Load) -> None:
    refusals = [answer for one in load.sent for answer in one.answers if not answer.accepted]
    slugs = {refusal.slug for refusal in refusals}
    # A caller that waits behind others for their shared user may get `overloaded`.
    assert {"unavailable"} <= slugs <= {"unavailable", "outcome-unknown", "overloaded"}
    assert max(refusal.seconds for refusal in refusals) < ANSWER_SECONDS


async def status_and_body(client: httpx2.AsyncClient, path: str) -> tuple[int, dict[str, Any]]:
    answer = await answer_in_time(client, path)
    return answer.status_code, answer.json()


async def answer_in_time(client: httpx2.AsyncClient, path: str) -> httpx2.Response:
    began = monotonic()
    answer = await client.get(path)
    assert monotonic() - began < ANSWER_SECONDS, path
    return answer
