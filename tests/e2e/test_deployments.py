"""A release with a new column of a view is deployed role by role, and no caller notices."""

import asyncio
import itertools
import subprocess
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import httpx2
import pytest

from tests.support.run.logs import new_log
from tests.support.servers.rollbook import ROOT, rollbook_command, rollbook_environment
from tests.support.views.directory import execute

TOKEN: Final = "a-token-of-thirty-two-characters"
ROLES: Final = ("worker", "projector", "api")
PEOPLE: Final = 30
_SECONDS: Final = 40.0

Json = dict[str, Any]


class Deployment:
    """The roles of two releases over one database."""

    def __init__(self, settings: dict[str, str]) -> None:
        self._settings = settings
        self._logs: dict[tuple[str, str], Path] = {}
        self._processes: dict[tuple[str, str], subprocess.Popen[bytes]] = {}

    def start(self, release: str, role: str, *arguments: str) -> None:
        command = rollbook_command(role, *arguments)
        if release == "next":
            command[3] = "tests.support.processes.next_release"
        self._logs[release, role] = new_log(f"{release}-{role}")
        with self.log(release, role).open("wb") as output:
            self._processes[release, role] = subprocess.Popen(
                command,
                env=rollbook_environment(**self._settings) | {"PYTHONPATH": str(ROOT)},
                stderr=output,
                cwd="/",
            )

    def stop(self, release: str, role: str) -> None:
        process = self._processes.pop((release, role))
        process.terminate()
        assert process.wait(timeout=30) == 0, self.log(release, role).read_text()

    def log(self, release: str, role: str) -> Path:
        return self._logs[release, role]

    def kill(self) -> None:
        for process in self._processes.values():
            process.kill()
            process.wait()


@pytest.fixture
def deployment(database_url: str, redis_url: str, master_keys: str) -> Iterator[Deployment]:
    settings = {
        "ROLLBOOK_DATABASE_URL": database_url,
        "ROLLBOOK_REDIS_URL": redis_url,
        "ROLLBOOK_MASTER_KEY": master_keys,
        "ROLLBOOK_ADMIN_TOKEN": TOKEN,
        "ROLLBOOK_RATE_LIMIT": "0",
    }
    deployment = Deployment(settings)
    yield deployment
    deployment.kill()


def client_of(port: int) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(
        base_url=f"http://127.0.0.1:{port}",
        headers={"Authorization": f"Bearer {TOKEN}"},
        timeout=20,
    )


class Callers:
    """They change, read, list and count on each API without a pause, and read their own writes."""

    def __init__(self) -> None:
        self.answers = 0
        self.failures: list[str] = []
        self._numbers = itertools.count(1)
        self._people: list[str] = []

    async def fill(self, api: httpx2.AsyncClient) -> None:
        for n in range(PEOPLE):
            person = {"name": f"Person {n}", "email": f"p{n}@example.org"}
            created = await api.post("/v1/users", json=person)
            self._people.append(created.raise_for_status().json()["id"])

    @asynccontextmanager
    async def calling(self, api: httpx2.AsyncClient) -> AsyncGenerator[None]:
        task = asyncio.create_task(self._call(api))
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _call(self, api: httpx2.AsyncClient) -> None:
        while True:
            number = next(self._numbers)
            user, name = self._people[number % PEOPLE], f"Person {number} again"
            changed = await api.patch(f"/v1/users/{user}", json={"name": name})
            self._check("PATCH", changed, name)
            after = {"Rollbook-Min-Position": changed.headers.get("Rollbook-Position", "0")}
            for path, shown in (
                (f"/v1/users/{user}", name),
                (f"/v1/users?ids={user}", name),
                (f"/v1/users?q=again&email=p{number % PEOPLE}@example.org", name),
                ("/v1/users?sort=-updated_at&limit=1", ""),
                ("/v1/stats", '"total":30'),
            ):
                self._check(path, await api.get(path, headers=after), shown)
            await asyncio.sleep(0.01)

    def _check(self, what: str, answer: httpx2.Response, shown: str) -> None:
        self.answers += 1
        if answer.status_code != 200 or shown not in answer.text:
            self.failures.append(f"{what}: {answer.status_code} {answer.text}")


async def until(is_so: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(_SECONDS):
        while not await is_so():
            await asyncio.sleep(0.05)


async def is_ready(api: httpx2.AsyncClient) -> bool:
    try:
        return (await api.get("/health/ready")).status_code == 200
    except httpx2.TransportError:
        return False


async def checks(api: httpx2.AsyncClient) -> Json:
    answer = await api.get("/health/ready")
    assert answer.status_code == 200, answer.text
    return answer.json()["checks"]


@pytest.mark.long
async def test_a_new_column_is_deployed_without_a_gap(
    deployment: Deployment, database_url: str, unused_tcp_port_factory: Callable[[], int]
) -> None:
    old_port, new_port = unused_tcp_port_factory(), unused_tcp_port_factory()
    for role in ("projector", "worker"):
        deployment.start("old", role)
    deployment.start("old", "api", "--port", str(old_port))
    callers = Callers()
    async with client_of(old_port) as old, client_of(new_port) as new:
        await until(lambda: is_ready(old))
        await callers.fill(old)
        async with callers.calling(old):
            # Before a new worker starts, the new release answers from the old generation.
            deployment.start("next", "api", "--port", str(new_port))
            await until(lambda: is_ready(new))
            async with callers.calling(new):
                views = (await checks(new))["views"]
                assert (views["state"], "of users" in views["detail"]) == ("degraded", True)
                assert (await checks(old))["views"]["state"] == "up"
                deployment.start("next", "worker")
                deployment.start("next", "projector")
                await until(lambda: serves(database_url, 2))
                # All processes of both releases answer from the new generation.
                before = callers.answers
                await until(lambda: at_least(callers, before + 60))
                assert (await checks(new))["views"]["state"] == "up"
                assert (await checks(old))["views"]["state"] == "up"
        for role in ROLES:
            deployment.stop("old", role)
        async with callers.calling(new):
            await until(lambda: projector_is_up(new))
            before = callers.answers
            await until(lambda: at_least(callers, before + 30))
        created = await new.post("/v1/users", json={"name": "New", "email": "new@example.net"})
        position = created.raise_for_status().headers["Rollbook-Position"]
        waited = await new.get("/v1/users", headers={"Rollbook-Min-Position": position})
        assert waited.status_code == 200
    assert callers.failures == []
    domains = "SELECT domain, count(*) FROM users_g2 GROUP BY 1 ORDER BY 1"
    assert await execute(database_url, domains) == [("example.net", 1), ("example.org", PEOPLE)]
    rebuilds = "SELECT kind, state, actor, error FROM jobs WHERE kind = 'rebuild'"
    assert await execute(database_url, rebuilds) == [
        ("rebuild", "succeeded", "system:upgrade", None)
    ]


async def serves(url: str, generation: int) -> bool:
    rows = await execute(url, "SELECT generation FROM projections WHERE name = 'users'")
    return rows == [(generation,)]


async def at_least(callers: Callers, answers: int) -> bool:
    return callers.answers >= answers or bool(callers.failures)


async def projector_is_up(api: httpx2.AsyncClient) -> bool:
    return (await checks(api))["projector"]["state"] == "up"
