"""Rebuilds over HTTP while clients write and read: no gap, no error, no stale answer."""

import asyncio
import json
import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any, Final

import httpx2
import pytest

from tests.support.http.streaming import stream_socket
from tests.support.servers.postgres import scaled
from tests.support.servers.prepared_data import prepared
from tests.support.servers.rollbook import RunningRollbook, run_rollbook

Json = dict[str, Any]

USERS: Final = 20
REBUILDS: Final = scaled(2)
_TIMEOUT_SECONDS: Final = 60


@pytest.fixture(scope="module")
def rollbook(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningRollbook]:
    with RunningRollbook(prepared(tmp_path_factory.mktemp("rebuilds") / "data")) as rollbook:
        yield rollbook


class Directory:
    """Users whose names contain their versions, and the versions that the client has written."""

    def __init__(self, client: httpx2.AsyncClient) -> None:
        self._client = client
        self.versions: dict[str, int] = {}
        self.reads = 0

    async def fill(self) -> None:
        for n in range(USERS):
            person = {"name": "V1", "email": f"n{n}@example.org"}
            answer = await self._client.post("/v1/users", json=person)
            self.versions[answer.raise_for_status().json()["id"]] = 1

    async def write(self, user: str) -> None:
        version = self.versions[user] + 1
        change = {"name": f"V{version}"}
        answer = await self._client.patch(f"/v1/users/{user}", json=change)
        assert answer.raise_for_status().json()["version"] == version
        self.versions[user] = version
        await asyncio.sleep(0.02)

    async def read_one(self, user: str) -> None:
        """The token reads its own writes, whichever generation answers."""
        known = self.versions[user]
        answer = await self._client.get(f"/v1/users/{user}")
        self._assert_current(answer, [answer.json()], {user: known})

    async def read_all(self, _: str) -> None:
        known = dict(self.versions)
        answer = await self._client.get("/v1/users", params={"limit": 200})
        items = answer.json()["items"]
        assert {item["id"] for item in items} == known.keys()
        self._assert_current(answer, items, known)

    async def count(self, _: str) -> None:
        answer = await self._client.get("/v1/stats")
        assert answer.status_code == 200, answer.text
        counted = answer.json()
        assert (counted["active"], counted["by_role"]) == (USERS, {"member": USERS})
        self.reads += 1

    def _assert_current(
        self, answer: httpx2.Response, items: list[Json], known: dict[str, int]
    ) -> None:
        assert answer.status_code == 200, answer.text
        for item in items:
            assert item["name"] == f"V{item['version']}", item
            assert item["version"] >= known[item["id"]], item
        self.reads += 1


class Reader:
    """A client with monotonic reads: it asks for the position that it saw last."""

    def __init__(self, client: httpx2.AsyncClient) -> None:
        self._client = client
        self._position = 0
        self._versions: dict[str, int] = {}

    async def read(self, _: str) -> None:
        headers = {"Rollbook-Min-Position": str(self._position)}
        answer = await self._client.get("/v1/users", params={"limit": 200}, headers=headers)
        assert answer.status_code == 200, answer.text
        position = int(answer.headers["Rollbook-Position"])
        versions = {item["id"]: item["version"] for item in answer.json()["items"]}
        assert position >= self._position
        assert len(versions) == USERS
        for user, version in self._versions.items():
            assert versions[user] >= version
        self._position, self._versions = position, versions


@asynccontextmanager
async def busy(users: list[str], *calls: Callable[[str], Awaitable[None]]) -> AsyncGenerator[None]:
    """Repeats all calls concurrently, each for one user after the other."""

    async def repeat(call: Callable[[str], Awaitable[None]]) -> None:
        while True:
            for user in users:
                await call(user)

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(repeat(call)) for call in calls]
        yield
        for task in tasks:
            task.cancel()


async def run_admin_command(
    client: httpx2.AsyncClient, name: str, command: str, **body: Any
) -> Json:
    """Starts an admin command of a projection, waits for its job, and returns the result."""
    answer = await client.post(f"/v1/projections/{name}/{command}", json=body)
    assert answer.status_code == 202, answer.text
    async with asyncio.timeout(_TIMEOUT_SECONDS):
        while True:
            job = (await client.get(answer.headers["Location"])).raise_for_status().json()
            if job["state"] not in ("queued", "running"):
                assert job["state"] == "succeeded", job
                return job["result"]
            await asyncio.sleep(0.1)


async def generation_of(client: httpx2.AsyncClient, name: str) -> int:
    """The generation that serves."""
    listed = (await client.get("/v1/projections")).raise_for_status().json()["items"]
    [generation] = [item["generation"] for item in listed if item["name"] == name]
    return generation


def command(rollbook: RunningRollbook, *arguments: str) -> tuple[int, str, str]:
    done = run_rollbook("projections", *arguments, "--data-dir", str(rollbook.data_dir))
    return done.returncode, done.stdout, done.stderr


def test_the_command_shows_the_progress_and_the_result_of_a_rebuild(
    rollbook: RunningRollbook,
) -> None:
    code, shown, bar = command(rollbook, "rebuild", "users")
    assert code == 0
    assert "rebuild users" in bar
    made = re.search(r"generation: (\d+)", shown)
    assert made is not None
    generation = int(made[1])
    code, lines, _ = command(rollbook, "rebuild", "users", "--json")
    last = json.loads(lines.splitlines()[-1])
    assert (code, last["state"]) == (0, "succeeded")
    assert last["result"]["generation"] == generation + 1
    assert command(rollbook, "rollback", "users", "--to", str(generation))[0] == 0
    _, lines, _ = command(rollbook, "--json")
    users, headcount = (json.loads(line) for line in lines.splitlines())
    assert users["generation"] == generation
    assert headcount["name"] == "headcount"
    assert command(rollbook, "parked", "users", "--json") == (0, "", "")
    code, shown, _ = command(rollbook, "retry", "users", "--all")
    assert (code, "retried: 0" in shown) == (0, True)
    stream = "018f0000-0000-7000-8000-00000000ffff"
    for wrong in ((), (stream, "--all")):
        assert command(rollbook, "retry", "users", *wrong)[0] == 2
    assert command(rollbook, "skip", "users", stream, "--reason", "none")[0] == 2
    code, _, reason = command(rollbook, "unskip", "users", stream, "--version", "2")
    assert (code, reason) == (1, "rollbook: This event was never skipped\n")
    code, _, reason = command(rollbook, "rebuild", "nothing")
    known = "There is no such projection. There are: users, headcount"
    assert (code, reason) == (1, f"rollbook: {known}\n")


async def test_a_stream_client_gets_a_notification_of_a_rebuild(rollbook: RunningRollbook) -> None:
    async with stream_socket(rollbook.url, "", rollbook.token) as stream:
        assert json.loads(await stream.recv())["kind"] == "ready"
        process = await asyncio.to_thread(command, rollbook, "rebuild", "headcount")
        assert process[0] == 0
        async with asyncio.timeout(10):
            while (frame := json.loads(await stream.recv()))["kind"] != "notification":
                pass
    assert (frame["severity"], frame["about"][:9]) == ("success", "/v1/jobs/")
    said = r"Rebuild of headcount: generation \d+ serves; 0 views differ"
    assert re.fullmatch(said, frame["message"])


async def test_rebuilds_disturb_no_read_and_no_write(rollbook: RunningRollbook) -> None:
    client = httpx2.AsyncClient(
        base_url=rollbook.url,
        headers={"Authorization": f"Bearer {rollbook.token}"},
        timeout=30,
        trust_env=False,
    )
    async with client:
        directory = Directory(client)
        await directory.fill()
        users = list(directory.versions)
        reader = Reader(client)
        calls = (directory.read_one, directory.read_all, directory.count, reader.read)
        before_all = await generation_of(client, "headcount")
        async with busy(users, directory.write, *calls):
            for n in range(REBUILDS):
                before = directory.reads
                result = await run_admin_command(
                    client, "headcount" if n % 5 == 4 else "users", "rebuild"
                )
                assert result["compared"]["differing"] == 0
                assert directory.reads > before
            listed = (await client.get("/v1/projections")).raise_for_status().json()["items"]
            [former] = [item["former"] for item in listed if item["name"] == "users"]
            await run_admin_command(client, "users", "rollback", to=former)
        assert await generation_of(client, "headcount") == before_all + REBUILDS // 5
        verified = await run_admin_command(client, "users", "verify")
        assert verified["right"]
