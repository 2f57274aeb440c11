"""A server that was killed and not reaped, or whose process id another process has now."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import psycopg
import pytest

from infrastructure.embedded.orphan import running_server
from tests.support.servers.postgres import postgres_on
from tests.support.servers.postgres_backends import kill
from tests.support.servers.rollbook import ROOT
from tests.support.views.directory import execute

pytestmark = pytest.mark.usefixtures("postgres_programs")

LOCKS: Final = ("data/postmaster.pid", "socket/.s.PGSQL.5432.lock")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "postgres"


@pytest.fixture
def other_process() -> Iterator[int]:
    process = subprocess.Popen(["sleep", "60"])
    yield process.pid
    assert process.poll() is None, "another process was ended"
    process.kill()
    process.wait()


def put_into(home: Path, locks: tuple[str, ...], process: int) -> None:
    for lock in (home / name for name in locks):
        _, rest = lock.read_text().split("\n", 1)
        lock.write_text(f"{process}\n{rest}")


@pytest.mark.parametrize("locks", [LOCKS[:1], LOCKS], ids=["data", "data and socket"])
async def test_it_starts_though_another_process_has_the_recorded_process_id(
    home: Path, other_process: int, locks: tuple[str, ...]
) -> None:
    server = postgres_on(home)
    await server.start()
    await kill(server)
    put_into(home, locks, other_process)
    assert await execute(await server.start(), "SELECT 1") == [(1,)]
    await server.stop()


@pytest.mark.parametrize("locks", [(), LOCKS], ids=["its own", "another process's"])
async def test_a_start_waits_for_a_leftover_session_whatever_process_id_is_recorded(
    home: Path, other_process: int, locks: tuple[str, ...]
) -> None:
    server = postgres_on(home)
    session = await psycopg.AsyncConnection.connect(await server.start())
    backend = session.info.backend_pid
    os.kill(backend, signal.SIGSTOP)  # it cannot notice that its server is gone
    assert server.pid is not None
    os.kill(server.pid, signal.SIGKILL)
    await server.wait()
    put_into(home, locks, other_process)
    start = asyncio.create_task(server.start())
    await asyncio.sleep(0.5)
    assert not start.done()
    os.kill(backend, signal.SIGKILL)
    assert await execute(await start, "SELECT 1") == [(1,)]
    await server.stop()
    with pytest.raises(psycopg.OperationalError):
        await session.execute("SELECT 1")


async def test_it_ends_with_the_process_that_started_it_and_starts_again_at_once(
    home: Path,
) -> None:
    script = (
        "import asyncio, sys; from pathlib import Path\n"
        "from tests.support.servers.postgres import postgres_on\n"
        "server = postgres_on(Path(sys.argv[1]))\n"
        "asyncio.run(server.start()); print(server.pid, flush=True); sys.stdin.read()\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", script, str(home)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    assert parent.stdout
    pid = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    async with postgres_on(home) as server:
        assert server.pid != pid
        assert await execute(server.url, "SELECT 1") == [(1,)]
        assert running_server(home / "data") == server.pid
