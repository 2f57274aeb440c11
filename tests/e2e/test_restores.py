"""A restore is noticed: a new epoch, no position twice, and no answer from the lost history."""

import asyncio
import os
import re
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, Final

import httpx2
import psycopg
import pytest
from msgspec import Struct
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from infrastructure.embedded.binaries import find_binaries
from infrastructure.embedded.errors import NoServerFound
from infrastructure.embedded.postgres import DATABASE, EmbeddedPostgres
from tests.support.http.agreement import all_events, head
from tests.support.servers.postgres import (
    execute,
    given_programs,
    postgres_on,
    skip_or_fail,
    with_database,
)
from tests.support.servers.prepared_data import prepared
from tests.support.servers.redis import PrivateRedis, private_redis
from tests.support.servers.rollbook import ROOT, RunningRollbook, until

PAGE: Final = ROOT / "docs/restore.md"
LEAP: Final = 10**12
# The watch looks every 5 s, then the process restarts.
NOTICED_SECONDS: Final = 40.0
PEOPLE: Final = 5


class History(Struct, kw_only=True):
    """What a caller saw: before the backup, and after it, in the history that is lost.

    `last_kept` is the head of the log at the backup.
    """

    user: str
    kept: list[dict[str, Any]]
    lost: list[dict[str, Any]]
    last_kept: int


@pytest.fixture
def redis() -> Iterator[PrivateRedis]:
    with private_redis() as server:
        yield server


@pytest.fixture
def programs() -> Path:
    """The folder of a Postgres with `pg_dump` and `pg_restore`."""
    try:
        folder = find_binaries(given_programs()).folder
    except NoServerFound as error:
        skip_or_fail(str(error))
    if not (folder / "pg_restore").exists():
        skip_or_fail(f"{folder} has no pg_restore")
    return folder


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[EmbeddedPostgres]:
    """A Postgres that no Rollbook has started."""
    server = postgres_on(tmp_path / "server")
    await server.start()
    yield server
    await server.stop()


def client_of(rollbook: RunningRollbook) -> httpx2.AsyncClient:
    headers = {"Authorization": f"Bearer {rollbook.token}"}
    return httpx2.AsyncClient(base_url=rollbook.url, headers=headers, timeout=30)


async def register(client: httpx2.AsyncClient, name: str) -> str:
    body = {"name": name, "email": f"{name.lower()}@example.com"}
    answer = await client.post("/v1/users", json=body)
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


async def rename(client: httpx2.AsyncClient, user: str, name: str) -> httpx2.Response:
    answer = await client.patch(f"/v1/users/{user}", json={"name": name})
    return answer.raise_for_status()


async def before_the_backup(client: httpx2.AsyncClient) -> History:
    users = [await register(client, f"Kept{n}") for n in range(PEOPLE)]
    # Reading them is recorded, too, so the head is asked for afterwards.
    kept = await all_events(client)
    return History(user=users[0], kept=kept, lost=[], last_kept=await head(client))


async def after_the_backup(client: httpx2.AsyncClient, history: History) -> None:
    """Commands that the restore removes; their results are read, so that the cache has them."""
    position = (await rename(client, history.user, "Vanished")).headers["Rollbook-Position"]
    for n in range(PEOPLE):
        await register(client, f"Gone{n}")
    at_least = {"Rollbook-Min-Position": position}
    for _ in range(3):
        shown = await client.get(f"/v1/users/{history.user}", headers=at_least)
        assert (shown.json()["name"], shown.json()["version"]) == ("Vanished", 2)
        found = await client.get("/v1/users?q=Vanished", headers=at_least)
        assert len(found.json()["items"]) == 1
        await client.get("/v1/stats", headers=at_least)
    history.lost = await all_events(client, history.last_kept)
    assert len(history.lost) == PEOPLE + 1


async def gone(client: httpx2.AsyncClient, position: int) -> httpx2.Response:
    """The answer to a reader beyond the break, as soon as the restore is noticed."""
    async with asyncio.timeout(NOTICED_SECONDS):
        while True:
            try:
                answer = await client.get("/v1/events", params={"after": position})
                if answer.status_code == 410:
                    return answer
            except httpx2.TransportError:
                pass
            await asyncio.sleep(0.1)


async def assert_a_new_epoch(rollbook: RunningRollbook, history: History) -> None:
    """The present continues the kept history, and nothing shows the lost one."""
    async with client_of(rollbook) as client:
        lost_positions = [int(event["position"]) for event in history.lost]
        for position in lost_positions:
            answer = await gone(client, position)
            assert answer.json()["type"] == "/problems/position-gone"
            assert answer.json()["resume_after"] == history.last_kept
        user = f"/v1/users/{history.user}"
        assert (await client.get(user)).json()["name"] == "Kept0"
        assert await all_events(client) == history.kept
        # The same version again, with another content.
        answer = await rename(client, history.user, "Present")
        position = int(answer.headers["Rollbook-Position"])
        assert position == LEAP
        at_least = {"Rollbook-Min-Position": str(position)}
        for _ in range(3):
            shown = (await client.get(user, headers=at_least)).json()
            assert (shown["name"], shown["version"]) == ("Present", 2)
            for word, count in (("Vanished", 0), ("Gone1", 0), ("Present", 1), ("Kept1", 1)):
                found = await client.get("/v1/users", params={"q": word}, headers=at_least)
                assert len(found.json()["items"]) == count, word
            assert (await client.get("/v1/stats", headers=at_least)).json()["total"] == PEOPLE
        await register(client, "New")
        events = await all_events(client, history.last_kept)
        assert [event["type"] for event in events] == ["user.renamed", "user.registered"]
        assert {int(event["position"]) for event in events}.isdisjoint(lost_positions)
        assert await all_events(client) == [*history.kept, *events]


async def breaks(url: str) -> list[Any]:
    async with await psycopg.AsyncConnection.connect(url) as connection:
        query = "SELECT epoch, last_valid, first_new FROM log_breaks"
        return await (await connection.execute(query)).fetchall()


def run_program(
    program: Path, *arguments: str, cwd: Path | None = None, **environment: str
) -> None:
    subprocess.run(
        [program, *arguments],
        check=True,
        capture_output=True,
        timeout=60,
        cwd=cwd,
        env={**os.environ, **environment},
    )


def recreate(url: str) -> None:
    name, server = sql.Identifier(DATABASE), with_database(url, "postgres")
    execute(server, sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))
    execute(server, sql.SQL("CREATE DATABASE {}").format(name))


@pytest.mark.parametrize(
    "restore",
    [
        "stopped",
        pytest.param("beside", marks=pytest.mark.long),
        pytest.param("slowly", marks=pytest.mark.long),
    ],
)
async def test_a_dump_is_restored_into_the_same_server(
    tmp_path: Path,
    programs: Path,
    server: EmbeddedPostgres,
    redis: PrivateRedis,
    restore: str,
) -> None:
    dump = str(tmp_path / "rollbook.dump")
    settings = {"ROLLBOOK_DATABASE_URL": server.url, "ROLLBOOK_REDIS_URL": redis.url}
    with RunningRollbook(tmp_path / "data", **settings) as rollbook:
        # Only Redis keeps a mark, as with roles on servers.
        async with client_of(rollbook) as client:
            history = await before_the_backup(client)
            run_program(programs / "pg_dump", "-Fc", "-f", dump, server.url)
            await after_the_backup(client, history)
        if restore == "beside":
            await restore_beside(server.url, programs, tmp_path)
        elif restore == "slowly":
            # The process ends and starts again before there is any table.
            recreate(server.url)
            until(lambda: rollbook.output.count('"event":"server did not start"') > 1)
            run_program(programs / "pg_restore", "-d", server.url, dump)
        else:
            rollbook.stop()
            recreate(server.url)
            run_program(programs / "pg_restore", "-d", server.url, dump)
            rollbook.start()
        await assert_a_new_epoch(rollbook, history)
        assert await breaks(server.url) == [(2, history.last_kept, LEAP)]


async def restore_beside(url: str, programs: Path, folder: Path) -> None:
    """Restore `rollbook.dump` beside the database in use, with the documented commands."""
    (commands,) = re.findall(r"```sh\n(createdb .*?)```", PAGE.read_text(), re.DOTALL)
    server = conninfo_to_dict(url)
    environment = {
        "PATH": f"{programs}:{os.environ['PATH']}",
        "PGHOST": str(server["host"]),
        "PGUSER": str(server["user"]),
    }
    await asyncio.to_thread(
        run_program, Path("/bin/sh"), "-ec", commands, cwd=folder, **environment
    )


@pytest.mark.parametrize("kept_in", [pytest.param("redis", marks=pytest.mark.long), "file"])
async def test_a_cold_copy_of_the_data_directory_is_put_back(
    tmp_path: Path, redis: PrivateRedis, kept_in: str
) -> None:
    data_dir = prepared(tmp_path / "data")
    data, copy, mark = data_dir / "postgres/data", tmp_path / "copy", data_dir / "high-water.json"
    settings = {"ROLLBOOK_REDIS_URL": redis.url} if kept_in == "redis" else {}
    with RunningRollbook(data_dir, **settings) as rollbook:
        async with client_of(rollbook) as client:
            history = await before_the_backup(client)
        rollbook.stop()
        run_program(Path("/bin/cp"), "-a", str(data), str(copy))
        rollbook.start()
        async with client_of(rollbook) as client:
            await after_the_backup(client, history)
        # Without a shutdown that would write the mark.
        rollbook.kill_all()
        shutil.rmtree(data)
        run_program(Path("/bin/cp"), "-a", str(copy), str(data))
        if kept_in == "redis":
            mark.unlink()
        rollbook.start()
        await assert_a_new_epoch(rollbook, history)
        url = EmbeddedPostgres(data_dir / "postgres").url
        assert await breaks(url) == [(2, history.last_kept, LEAP)]
