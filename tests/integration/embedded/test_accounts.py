"""The accounts that run the embedded Postgres: an ordinary user, or root with another account."""

import asyncio
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from infrastructure.embedded.account import NOBODY, account_for
from infrastructure.embedded.binaries import Binaries
from infrastructure.embedded.errors import EmbeddedServerError, NoServerFound, NotPrivate
from infrastructure.embedded.ownership import change_owner
from infrastructure.embedded.postgres import EmbeddedPostgres
from infrastructure.embedded.programs import copied
from infrastructure.embedded.valkey import EmbeddedValkey
from interfaces.cli.target.data_directory import CannotBeMade, DataDirectory
from tests.support.servers.postgres import postgres_on
from tests.support.views.directory import execute

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


@pytest.fixture
def without_namespaces(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A PATH without `unshare`; its folder."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("setpriv", "sh"):
        found = shutil.which(name)
        assert found
        (programs / name).symlink_to(found)
    monkeypatch.setenv("PATH", str(programs))
    return programs


async def start_once(home: Path, programs: Path | None = None) -> None:
    async with EmbeddedPostgres(home, binaries=programs) as server:
        assert await execute(server.url, "SELECT 1") == [(1,)]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_an_ordinary_user_starts_it_too(open_home: Path, postgres_programs: Binaries) -> None:
    programs = reachable(postgres_programs, open_home)
    assert as_nobody(lambda: asyncio.run(start_once(open_home / "postgres", programs))) == 0
    assert (open_home / "postgres" / "data").stat().st_uid == NOBODY


@pytest.mark.skipif(os.geteuid() != 0, reason="only root needs another account")
async def test_root_without_namespaces_runs_it_under_an_account(
    home: Path, without_namespaces: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with postgres_on(home) as server:
        assert await execute(server.url, "SELECT 1") == [(1,)]
        assert Path(f"/proc/{server.pid}").stat().st_uid != 0
    monkeypatch.undo()
    await start_once(home)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root needs another account")
async def test_programs_that_only_root_can_reach_run_as_a_copy(
    home: Path,
    without_namespaces: Path,
    postgres_programs: Binaries,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hidden = copied(postgres_programs.folder, tmp_path / "hidden", "")
    place = Path(tempfile.mkdtemp(prefix="rollbook-programs-"))
    place.chmod(0o755)
    monkeypatch.setattr("infrastructure.embedded.programs.PLACES", (place,))
    try:
        await start_once(home, hidden)
        (copy,) = place.glob("postgres-*")
        made = copy.stat().st_mtime_ns
        await start_once(home, hidden)
        assert [each.stat().st_mtime_ns for each in place.glob("postgres-*")] == [made]
        # A crash of the machine may leave an incomplete copy.
        unfinished = copy.with_name(f"{copy.name}.new")
        (unfinished / "initdb").mkdir(parents=True)
        next(copy.rglob("initdb")).write_bytes(b"")
        await start_once(home.with_name("another"), hidden)
        assert not unfinished.exists()
    finally:
        shutil.rmtree(place)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root needs another account")
def test_no_copy_is_made_where_another_user_can_write(
    postgres_programs: Binaries, open_home: Path
) -> None:
    for place in (open_home, open_home / "inside"):
        with pytest.raises(PermissionError, match="users other than root"):
            copied(postgres_programs.folder, place / "postgres", "")
    assert not list(open_home.rglob("initdb"))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root needs another account")
def test_root_gets_an_error_where_no_account_works(
    home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    home.mkdir()
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EmbeddedServerError, match="start Rollbook as an ordinary user"):
        account_for(home)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can work on another user's files")
def test_root_leaves_a_users_directory_owned_by_the_user(
    open_home: Path, postgres_programs: Binaries
) -> None:
    programs = reachable(postgres_programs, open_home)
    mine = open_home / "mine"

    def start() -> None:
        directory = DataDirectory(mine)
        directory.hold()
        for secret in (directory.master_key, directory.admin_token):
            secret()
        asyncio.run(start_once(directory.postgres, programs))
        asyncio.run(start_valkey(directory.valkey))
        directory.release()

    os.chown(open_home, NOBODY, NOBODY)
    start()  # root is the first: it makes the directory
    assert as_nobody(start) == 0
    start()
    # As an older release left it.
    change_owner(mine / "postgres", 0, 0)
    assert as_nobody(start) != 0
    start()
    assert as_nobody(start) == 0
    assert {path.lstat().st_uid for path in (mine, *mine.rglob("*"))} == {NOBODY}


async def start_valkey(home: Path) -> None:
    try:
        valkey = EmbeddedValkey(home)
    except NoServerFound:  # its program may be readable by root only
        return
    async with valkey:
        pass


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make another user's directory")
def test_a_directory_of_another_user_is_refused_in_one_line(open_home: Path) -> None:
    theirs, unwritable = open_home / "theirs", open_home / "closed" / "mine"
    for folder in (theirs, unwritable.parent):
        folder.mkdir()
        folder.chmod(0o755)

    def start() -> None:
        with pytest.raises(NotPrivate, match="belongs to another user"):
            DataDirectory(theirs).hold()
        with pytest.raises(CannotBeMade, match="Permission denied"):
            DataDirectory(unwritable).hold()

    assert as_nobody(start) == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root could change another's file")
def test_root_follows_no_link_in_a_users_directory(open_home: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("root's")
    os.chown(open_home, NOBODY, NOBODY)
    (open_home / "lock").symlink_to(secret)
    with pytest.raises(OSError, match="symbolic link"):
        DataDirectory(open_home).hold()
    (open_home / "lock").unlink()
    (open_home / "lock").hardlink_to(secret)
    directory = DataDirectory(open_home)
    directory.hold()
    directory.release()
    change_owner(open_home, NOBODY, NOBODY)
    assert secret.stat().st_uid == 0


def reachable(binaries: Binaries, place: Path) -> Path:
    """A copy of the programs that every account can run: only root may reach the clone."""
    place.chmod(0o755)
    folder = copied(binaries.folder, place / "programs", "")
    place.chmod(0o777)
    return folder


def as_nobody(work: Callable[[], None]) -> int:
    """Run the work in a fork without root's rights; its exit status."""
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
        os.setgid(NOBODY)
        os.setuid(NOBODY)
        work()
    except BaseException as error:
        os.write(2, repr(error).encode())
        os._exit(1)
    os._exit(0)
