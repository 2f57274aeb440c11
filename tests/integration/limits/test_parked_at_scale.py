"""Very long queues and very many parked streams: nobody waits for them, and every list answers."""

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any, Final
from uuid import UUID

import httpx2
import pytest

from tests.support.http.in_process import in_process
from tests.support.log.long_queues import make_known, queue_events
from tests.support.servers.postgres import MASTER_KEYS
from tests.support.servers.rollbook import RunningRollbook
from tests.support.views.directory import execute

pytestmark = [pytest.mark.alone, pytest.mark.long]

QUEUED: Final = 60_000
PARKED: Final = 600_000
PEOPLE: Final = 50
READS_PER_SECOND: Final = 50
MAX_READ_SECONDS: Final = 0.1
MAX_ANSWER_SECONDS: Final = 0.2
PARK: Final = """
INSERT INTO parked (tenant, projection, generation, stream, version, last_version, position, event_id,
    error)
SELECT 'main', 'users', 1, gen_random_uuid(), 2, 3, 1000000 + n, gen_random_uuid(), 'ValueError (a:1)'
FROM generate_series(1, %s) AS n"""


class Readers:
    """Callers that change a user, and then read their own write."""

    def __init__(self, client: httpx2.AsyncClient) -> None:
        self._client = client
        self._people: list[str] = []

    async def fill(self) -> None:
        for n in range(PEOPLE):
            person = {"name": f"N{n}", "email": f"n{n}@example.org"}
            answer = await self._client.post("/v1/users", json=person)
            self._people.append(answer.raise_for_status().json()["id"])

    async def slowest(self, work: asyncio.Task[Any]) -> float:
        """The longest time of a read while the work runs, at a fixed rate; all succeed."""
        reads: list[asyncio.Task[float]] = []
        while not work.done():
            user = self._people[len(reads) % PEOPLE]
            reads.append(asyncio.create_task(self._read(user, f"V{len(reads)}")))
            await asyncio.sleep(1 / READS_PER_SECOND)
        assert len(reads) > 10
        return max(await asyncio.gather(*reads))

    async def _read(self, user: str, name: str) -> float:
        changed = await self._client.patch(f"/v1/users/{user}", json={"name": name})
        headers = {"Rollbook-Min-Position": changed.raise_for_status().headers["Rollbook-Position"]}
        began = perf_counter()
        answer = await self._client.get(f"/v1/users/{user}", headers=headers)
        took = perf_counter() - began
        assert answer.status_code == 200, answer.text
        return took


async def parked_stream(client: httpx2.AsyncClient, url: str, name: str) -> str:
    """A user with a long queue, whose parked event could now be applied."""
    person = {"name": name, "email": f"{name}@example.org"}
    user = (await client.post("/v1/users", json=person)).raise_for_status().json()["id"]
    await queue_events(url, UUID(user), QUEUED)
    async with asyncio.timeout(120):
        while any(each["lag"] for each in (await client.get("/v1/projections")).json()["items"]):
            await asyncio.sleep(0.2)
    await make_known(url)
    return user


async def test_a_retry_of_a_long_queue_delays_no_reader(database_url: str, tmp_path: Path) -> None:
    settings = {"ROLLBOOK_DATABASE_URL": database_url, "ROLLBOOK_MASTER_KEY": MASTER_KEYS}
    with RunningRollbook(tmp_path / "data", **settings) as rollbook:
        client = httpx2.AsyncClient(
            base_url=rollbook.url,
            headers={"Authorization": f"Bearer {rollbook.token}"},
            timeout=120,
            trust_env=False,
        )
        async with client:
            readers = Readers(client)
            await readers.fill()
            differences: list[float] = []
            for n in range(5):
                user = await parked_stream(client, database_url, f"parked{n}")
                idle = await readers.slowest(asyncio.create_task(asyncio.sleep(3)))
                path = f"/v1/projections/users/parked/{user}/retry"
                retry = asyncio.create_task(client.post(path))
                busy = await readers.slowest(retry)
                assert (await retry).json() == {
                    "stream": user,
                    "applied": QUEUED + 1,
                    "parked": None,
                }
                differences.append(busy - idle)
    assert median(differences) <= MAX_READ_SECONDS, differences


@pytest.fixture
async def client(database_url: str) -> AsyncGenerator[httpx2.AsyncClient]:
    async with in_process(database_url) as client:
        yield client


@pytest.mark.parametrize("is_analyzed", [False, True])
async def test_every_list_answers_with_hundreds_of_thousands_of_parked_streams(
    client: httpx2.AsyncClient, database_url: str, is_analyzed: bool
) -> None:
    await execute(database_url, PARK, PARKED)
    if is_analyzed:
        await execute(database_url, "ANALYZE parked")
    await asyncio.sleep(3)
    parked = "/v1/projections/users/parked"
    cursor, paths = None, ["/health/ready", "/metrics", "/v1/projections", parked]
    for _ in range(2):
        path = parked if cursor is None else f"{parked}?cursor={cursor}"
        cursor = (await client.get(f"{path}{'&' if cursor else '?'}limit=200")).json()[
            "next_cursor"
        ]
    paths.append(f"{parked}?limit=200&cursor={cursor}")
    for path in paths:
        times: list[float] = []
        for _ in range(5):
            began = perf_counter()
            answer = await client.get(path)
            times.append(perf_counter() - began)
            assert answer.status_code == 200, answer.text
        assert median(times) < MAX_ANSWER_SECONDS, (path, times)
    assert (await client.get("/health/ready")).json()["parked"] == {"users": 10_000}
    users = next(
        each
        for each in (await client.get("/v1/projections")).json()["items"]
        if each["name"] == "users"
    )
    assert (users["parked"], users["state"]) == (10_000, "parked")
