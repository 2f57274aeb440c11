"""`make run` in a fresh clone, as in a container that runs as root."""

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest

from interfaces.cli.target.data_directory import DataDirectory
from tests.support.repository import repository_files
from tests.support.run.logs import keep_log
from tests.support.servers.rollbook import ROOT, children_of, until


@pytest.fixture
def closed() -> Iterator[Path]:
    """A directory that only its owner may enter, like root's home and the ones of mktemp."""
    directory = Path(tempfile.mkdtemp(prefix="rollbook-clone-"))
    yield directory
    shutil.rmtree(directory)


@pytest.fixture
def clone(closed: Path) -> Path:
    """A copy of the files of this tree that git does not ignore."""
    clone = closed / "rollbook"
    for source in repository_files():
        target = clone / source.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, target)
    return clone


@pytest.fixture
def programs(closed: Path) -> Path:
    """All programs of this machine except `unshare`: no user namespace can be created."""
    folder = closed / "bin"
    folder.mkdir()
    pinned = ROOT / ".tools" / "bin" / "uv"
    found = [pinned] if pinned.exists() else []
    for place in os.environ["PATH"].split(os.pathsep):
        found += Path(place).iterdir() if Path(place).is_dir() else ()
    for program in found:
        if program.name != "unshare" and not (folder / program.name).is_symlink():
            (folder / program.name).symlink_to(program)
    return folder


@contextmanager
def make_run(clone: Path, programs: Path) -> Generator[httpx2.Client]:
    """A client of a Rollbook that `make run` starts; it is stopped at the end."""
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith("ROLLBOOK_")
    }
    with (clone.parent / "out").open("wb") as output:
        make = subprocess.Popen(
            ["make", "run", "ARGS=--port 0"],
            cwd=clone,
            env=inherited | {"PATH": str(programs)},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    directory = DataDirectory(clone / ".rollbook")

    def is_up() -> bool:
        assert make.poll() is None, (clone.parent / "out").read_text()
        return directory.instance() is not None

    try:
        until(is_up, timeout_seconds=120)
        running = directory.instance()
        assert running is not None
        headers = {"Authorization": f"Bearer {directory.admin_token()}"}
        with httpx2.Client(base_url=running.url, headers=headers) as client:
            yield client
        os.kill(running.pid, signal.SIGTERM)
        assert make.wait(timeout=30) == 0
    finally:
        make.kill()
        keep_log(clone.parent / "out")


def owner_of_postgres(clone: Path) -> int:
    """The account that Postgres runs under."""
    running = DataDirectory(clone / ".rollbook").instance()
    assert running is not None
    for process in map(Path("/proc").joinpath, map(str, children_of(running.pid))):
        if b"postgres" in (process / "cmdline").read_bytes().split(b"\0")[0]:
            return process.stat().st_uid
    raise AssertionError("no Postgres runs")


def test_make_run_works_in_a_clone_that_only_root_may_enter(clone: Path, programs: Path) -> None:
    email = "ada@example.com"
    with make_run(clone, programs) as client:
        answer = client.post("/v1/users", json={"email": email, "name": "Ada"})
        assert answer.status_code == 201
        assert owner_of_postgres(clone) != 0
    with make_run(clone, programs) as client:
        assert client.get(answer.headers["Location"]).json()["email"] == email
