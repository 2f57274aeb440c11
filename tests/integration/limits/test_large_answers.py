"""Pages of the largest users and events are read and written in slices."""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest

from tests.support.http.in_process import in_process
from tests.support.servers.postgres import scale

USERS = 100 if scale() < 10 else 200
# In one piece, a page of 200 such users takes longer.
MAX_SECONDS = 0.04
PAGES = ("/v1/users?limit=200", "/v1/audit?limit=200", "/v1/events?limit=1000")


@asynccontextmanager
async def longest_piece() -> AsyncGenerator[list[float]]:
    """The processor time of each turn of the event loop."""
    turns = [0.0]

    async def watch() -> None:
        while True:
            began = time.thread_time()
            await asyncio.sleep(0)
            turns.append(time.thread_time() - began)

    watching = asyncio.create_task(watch())
    yield turns
    watching.cancel()


@pytest.mark.alone
async def test_no_page_holds_the_event_loop_for_long(database_url: str) -> None:
    async with in_process(database_url) as client:
        position = "0"
        for number in range(USERS):
            body = {
                "name": "Ada",
                "email": f"ada.{number}@example.org",
                "attributes": {"numbers": [number % 9] * 8_000},
            }
            answer = await client.post("/v1/users", json=body)
            position = answer.headers["Rollbook-Position"]
        await client.get("/v1/users?limit=1", headers={"Rollbook-Min-Position": position})
        for path in PAGES:
            async with longest_piece() as turns:
                answer = await client.get(path)
            assert len(answer.json()["items"]) == USERS
            if scale() >= 10:
                assert max(turns) < MAX_SECONDS, path
