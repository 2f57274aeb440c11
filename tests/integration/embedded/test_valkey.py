"""The embedded Valkey starts anywhere, saves nothing, and ends with its parent process."""

import os
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Mapping
from pathlib import Path
from typing import Any, Protocol, cast

import pytest
from redis.asyncio import Redis

from infrastructure.embedded import valkey
from infrastructure.embedded.errors import InUse, NoServerFound, StartFailed
from infrastructure.embedded.valkey import EmbeddedValkey, find_valkey
from tests.support.servers.postgres import skip_or_fail
from tests.support.servers.rollbook import until


class Client(Protocol):
    """The used part of redis-py's client, whose own annotations are incomplete."""

    def get(self, key: str) -> Awaitable[bytes | None]: ...

    def set(self, key: str, value: bytes) -> Awaitable[object]: ...

    def config_get(self, pattern: str) -> Awaitable[Mapping[str, str]]: ...

    async def aclose(self) -> None: ...


@pytest.fixture(autouse=True)
def program() -> Path:
    try:
        return find_valkey()
    except NoServerFound as error:
        skip_or_fail(str(error))


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "valkey"


async def put(url: str, key: str) -> bytes | None:
    """Set the key; its value from before."""
    client = cast("Client", cast("Any", Redis).from_url(url))
    try:
        before = await client.get(key)
        await client.set(key, b"something")
        return before
    finally:
        await client.aclose()


def socket_of(server: EmbeddedValkey) -> Path:
    return Path(server.url.removeprefix("unix://"))


async def test_it_saves_nothing_and_respects_its_memory_limit(home: Path) -> None:
    async with EmbeddedValkey(home) as server:
        client = cast("Client", cast("Any", Redis).from_url(server.url))
        found = {
            name: value
            for pattern in ("port", "save", "appendonly", "maxmemory*", "commandlog-*-than")
            for name, value in (await client.config_get(pattern)).items()
        }
        await client.aclose()
        assert await put(server.url, "key") is None
        assert await put(server.url, "key") == b"something"
        assert socket_of(server).stat().st_mode & 0o777 == 0o700
        assert socket_of(server).parent.stat().st_mode & 0o777 == 0o700
    assert (found["port"], found["save"], found["appendonly"]) == ("0", "", "no")
    assert (found["maxmemory"], found["maxmemory-policy"]) == (str(128 * 2**20), "allkeys-lru")
    assert {found[name] for name in found if name.startswith("commandlog")} == {"-1"}
    assert server.pid is None
    async with EmbeddedValkey(home) as server:
        assert await put(server.url, "key") is None


async def test_after_a_crash_it_starts_again_at_the_same_place(home: Path) -> None:
    async with EmbeddedValkey(home) as server:
        url = server.url
        assert server.pid is not None
        os.kill(server.pid, signal.SIGKILL)
        assert await server.wait() == -signal.SIGKILL
        assert await server.start() == url
        assert await put(url, "key") is None
    assert not list(home.rglob("*.sock"))


async def test_a_second_start_on_the_same_directory_is_refused(home: Path) -> None:
    async with EmbeddedValkey(home) as server:
        with pytest.raises(InUse, match=f"in use by process {os.getpid()}"):
            await EmbeddedValkey(home).start()
        assert await put(server.url, "key") is None


async def test_it_starts_in_a_path_that_is_too_long_or_has_special_characters(
    tmp_path: Path,
) -> None:
    async with EmbeddedValkey(tmp_path / "ä b%&+?#'") as server:
        assert await put(server.url, "key") is None
    async with EmbeddedValkey(tmp_path / ("deep" * 30)) as server:
        assert f"{tempfile.gettempdir()}/rollbook-" in server.url
        assert await put(server.url, "key") is None
    assert not socket_of(server).parent.exists()


async def test_it_ends_with_the_process_that_started_it_and_the_next_starts_at_once(
    home: Path,
) -> None:
    script = (
        "import asyncio, sys; from pathlib import Path\n"
        "from infrastructure.embedded.valkey import EmbeddedValkey\n"
        "server = EmbeddedValkey(Path(sys.argv[1]))\n"
        "asyncio.run(server.start()); print(server.pid, flush=True); sys.stdin.read()\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", script, str(home)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[3],
    )
    assert parent.stdout
    orphan = int(parent.stdout.readline())
    # While it is stopped it cannot clean up; it does so when the next one runs already.
    os.kill(orphan, signal.SIGSTOP)
    parent.kill()
    parent.wait()
    async with EmbeddedValkey(home) as server:
        os.kill(orphan, signal.SIGCONT)
        until(lambda: not Path(f"/proc/{orphan}").exists() or is_zombie(orphan))
        assert await put(server.url, "key") is None


async def test_a_server_that_does_not_start_says_why(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(valkey.SETTINGS, "maxmemory", "much")
    with pytest.raises(StartFailed, match="Valkey did not start: "):
        await EmbeddedValkey(home).start()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has another account to give")
async def test_root_does_not_run_it_with_its_own_rights(home: Path) -> None:
    async with EmbeddedValkey(home) as server:
        if "\nUid:\t0\t" in Path(f"/proc/{server.pid}/status").read_text():
            namespace = Path(f"/proc/{server.pid}/ns/user").readlink()
            assert namespace != Path("/proc/self/ns/user").readlink()


def test_without_the_package_no_server_is_found(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(valkey, "WHEEL", "a_package_that_is_not_there")
    with pytest.raises(NoServerFound, match="set ROLLBOOK_REDIS_URL"):
        EmbeddedValkey(home)


def test_a_program_that_does_not_run_here_is_not_used(
    home: Path, program: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    package = tmp_path / "of_another_machine"
    foreign = package / "_binaries" / "linux-other" / "valkey-server"
    foreign.parent.mkdir(parents=True)
    foreign.write_bytes(program.read_bytes()[:100])
    foreign.chmod(foreign.stat().st_mode | stat.S_IXUSR)
    monkeypatch.syspath_prepend(str(tmp_path))  # pyright: ignore[reportUnknownMemberType]
    monkeypatch.setattr(valkey, "WHEEL", package.name)
    with pytest.raises(NoServerFound):
        EmbeddedValkey(home)


def is_zombie(process: int) -> bool:
    return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
