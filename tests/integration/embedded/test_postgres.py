"""The embedded Postgres starts anywhere, survives any crash, and is private to its process."""

import asyncio
import os
import tempfile
from pathlib import Path

import psycopg
import pytest

from infrastructure.embedded.binaries import candidates, major_version
from infrastructure.embedded.errors import (
    InUse,
    NoServerFound,
    VersionMismatch,
)
from infrastructure.embedded.postgres import EmbeddedPostgres
from tests.support.servers.postgres import postgres_on, scaled, skip_or_fail
from tests.support.servers.postgres_backends import kill

pytestmark = pytest.mark.usefixtures("postgres_programs")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "postgres"


async def ask(url: str, query: str) -> str:
    async with await psycopg.AsyncConnection.connect(url) as connection:
        row = await (await connection.execute(query.encode())).fetchone()
    assert row is not None
    return str(row[0])


async def test_it_starts_safe_and_without_a_port(home: Path) -> None:
    async with postgres_on(home) as server:
        assert await ask(server.url, "SELECT current_database()") == "rollbook"
        assert await ask(server.url, "SHOW listen_addresses") == ""
        assert await ask(server.url, "SHOW fsync") == "on"
        assert await ask(server.url, "SHOW synchronous_commit") == "on"
        assert await ask(server.url, "SHOW data_checksums") == "on"
        assert await ask(server.url, "SHOW server_encoding") == "UTF8"
        assert (home / "socket").stat().st_mode & 0o777 == 0o700
    assert server.pid is None


async def test_data_outlive_a_stop(home: Path) -> None:
    async with postgres_on(home) as server:
        async with await psycopg.AsyncConnection.connect(server.url) as connection:
            await connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    async with postgres_on(home) as server:
        assert await ask(server.url, "SELECT answer FROM kept") == "42"


async def test_a_half_made_cluster_is_made_again(home: Path) -> None:
    half = home / "data.new" / "base"
    half.mkdir(parents=True)
    async with postgres_on(home) as server:
        assert await ask(server.url, "SELECT 1") == "1"
    assert not half.exists()


async def test_a_second_start_on_the_same_directory_is_refused(home: Path) -> None:
    async with postgres_on(home) as server:
        with pytest.raises(InUse, match=f"in use by process {os.getpid()}"):
            await postgres_on(home).start()
        assert await ask(server.url, "SELECT 1") == "1"


async def test_data_of_another_major_version_are_refused(home: Path) -> None:
    (home / "data").mkdir(parents=True)
    (home / "data" / "PG_VERSION").write_text("11\n")
    with pytest.raises(VersionMismatch, match="was written by Postgres 11"):
        await postgres_on(home).start()


async def test_the_programs_that_wrote_the_data_are_preferred(home: Path) -> None:
    versions = {major: folder for folder in candidates() if (major := major_version(folder))}
    if len(versions) < 2:
        skip_or_fail("needs programs of two Postgres versions")
    for major in versions:
        async with EmbeddedPostgres(home / str(major), binaries=versions[major]):
            pass
        async with EmbeddedPostgres(home / str(major)) as server:
            assert (await ask(server.url, "SHOW server_version")).startswith(str(major))


async def test_a_folder_without_programs_is_named(home: Path, tmp_path: Path) -> None:
    with pytest.raises(NoServerFound, match=str(tmp_path)):
        await EmbeddedPostgres(home, binaries=tmp_path).start()


async def test_a_socket_path_that_is_too_long_moves_to_the_temporary_directory(
    tmp_path: Path,
) -> None:
    home = tmp_path / ("deep" * 20) / "a, b"
    async with postgres_on(home) as server:
        assert f"{tempfile.gettempdir()}/rollbook-" in server.url
        assert await ask(server.url, "SELECT 1") == "1"
    assert not Path(server.url.partition("host=")[2]).exists()


async def test_a_path_with_spaces_and_signs_works(tmp_path: Path) -> None:
    async with postgres_on(Path(tempfile.mkdtemp(dir=tmp_path)) / "ä b%&+") as server:
        assert await ask(server.url, "SELECT 1") == "1"


async def test_no_personal_data_in_the_log_of_the_server(home: Path) -> None:
    async with postgres_on(home) as server:
        async with await psycopg.AsyncConnection.connect(server.url, autocommit=True) as connection:
            await connection.execute("CREATE TABLE people (name text UNIQUE CHECK (name <> 'Eve'))")
            await connection.execute("INSERT INTO people VALUES ('Grace Hopper')")
            for name in ("Grace Hopper", "Eve", "nul\0"):
                with pytest.raises(psycopg.Error):
                    await connection.execute("INSERT INTO people VALUES (%s)", [name])
    written = (home / "server.log").read_text()
    assert "duplicate key" in written
    assert "Grace" not in written
    assert "Eve" not in written


async def test_killed_with_all_its_processes_under_load_it_loses_no_acknowledged_row(
    home: Path,
) -> None:
    server = postgres_on(home)
    acknowledged: set[int] = set()
    await server.start()
    async with await psycopg.AsyncConnection.connect(server.url) as connection:
        await connection.execute("CREATE TABLE rows (n bigint PRIMARY KEY)")

    async def write(start: int) -> None:
        async with await psycopg.AsyncConnection.connect(server.url, autocommit=True) as connection:
            for n in range(start, start + 1_000_000):
                await connection.execute("INSERT INTO rows VALUES (%s)", [n])
                acknowledged.add(n)

    for round_ in range(scaled(3)):
        writers = [
            asyncio.create_task(write((round_ * 8 + one) * 1_000_000)) for one in range(1, 9)
        ]
        await asyncio.sleep(0.5)
        await kill(server)
        results = await asyncio.gather(*writers, return_exceptions=True)
        assert all(isinstance(result, psycopg.OperationalError) for result in results)
        await server.start()
        async with await psycopg.AsyncConnection.connect(server.url) as connection:
            rows = await (await connection.execute("SELECT n FROM rows")).fetchall()
        assert acknowledged <= {n for (n,) in rows}
        assert acknowledged
    await server.stop()
