"""A server that was killed and never waited for, or whose number another process has now."""

import asyncio
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from infrastructure.embedded.postgres import EmbeddedPostgres
from tests.running import children_of
from tests.servers import postgres_on


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "postgres"


@pytest.fixture
def stranger() -> Iterator[int]:
    process = subprocess.Popen(["sleep", "60"])
    yield process.pid
    assert process.poll() is None, "a stranger was ended"
    process.kill()
    process.wait()


def put_into_locks(home: Path, process: int) -> None:
    for lock in (home / "data" / "postmaster.pid", home / "socket" / ".s.PGSQL.5432.lock"):
        _, rest = lock.read_text().split("\n", 1)
        lock.write_text(f"{process}\n{rest}")


async def killed(server: EmbeddedPostgres) -> None:
    assert server.pid is not None
    os.kill(server.pid, signal.SIGKILL)
    await server.wait()


async def test_a_number_that_a_stranger_has_now_is_no_hindrance(home: Path, stranger: int) -> None:
    server = postgres_on(home)
    await server.start()
    assert server.pid is not None
    for process in children_of(server.pid):
        os.kill(process, signal.SIGKILL)
    await killed(server)
    put_into_locks(home, stranger)
    await server.start()
    await server.stop()


async def test_a_session_that_is_left_is_waited_for_whoever_has_the_servers_number_now(
    home: Path, stranger: int
) -> None:
    server = postgres_on(home)
    session = await psycopg.AsyncConnection.connect(await server.start())
    backend = session.info.backend_pid
    os.kill(backend, signal.SIGSTOP)  # it cannot notice that its server is gone
    await killed(server)
    put_into_locks(home, stranger)
    start = asyncio.create_task(server.start())
    await asyncio.sleep(0.5)
    assert not start.done()
    os.kill(backend, signal.SIGKILL)
    await start
    await server.stop()
    with pytest.raises(psycopg.OperationalError):
        await session.execute("SELECT 1")
