"""The commands for servers: the migrations, then each role on an existing database."""

import asyncio
import json
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from infrastructure.keys import MasterKeys
from interfaces.composition.event_store import open_event_store
from tests.support.run.logs import new_log
from tests.support.servers.rollbook import (
    rollbook_command,
    rollbook_environment,
    run_rollbook,
    until,
)

Start = Callable[..., subprocess.Popen[bytes]]

TOKEN = "a-token-of-thirty-two-characters"


@pytest.fixture
def settings(database_url: str, master_keys: str) -> dict[str, str]:
    return {
        "ROLLBOOK_DATABASE_URL": database_url,
        "ROLLBOOK_MASTER_KEY": master_keys,
        "ROLLBOOK_ADMIN_TOKEN": TOKEN,
    }


@pytest.fixture
def log() -> Path:
    return new_log("role")


@pytest.fixture
def start(settings: dict[str, str], log: Path) -> Iterator[Start]:
    """Starts a role on a migrated database."""
    processes: list[subprocess.Popen[bytes]] = []

    def role(*arguments: str) -> subprocess.Popen[bytes]:
        with log.open("wb") as output:
            process = subprocess.Popen(
                rollbook_command(*arguments),
                env=rollbook_environment(**settings),
                stderr=output,
                cwd="/",
            )
        processes.append(process)
        return process

    yield role
    for process in processes:
        process.kill()
        process.wait()


def lines(log: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in log.read_text().splitlines()]


def test_migrating_twice_succeeds(empty_database_url: str) -> None:
    for _ in range(2):
        migrated = run_rollbook("migrate", ROLLBOOK_DATABASE_URL=empty_database_url)
        assert (migrated.returncode, migrated.stderr) == (0, "")


def test_migrating_without_a_database_setting_is_refused() -> None:
    refused = run_rollbook("migrate")
    assert refused.returncode == 2
    assert refused.stderr == (
        "rollbook: ROLLBOOK_DATABASE_URL: is not set (or ROLLBOOK_DATABASE_URL_FILE)\n"
    )


def test_an_unreachable_database_is_reported_in_one_line() -> None:
    refused = run_rollbook("migrate", ROLLBOOK_DATABASE_URL="postgresql://x:secret@127.0.0.1:1/x")
    assert refused.returncode == 1
    assert refused.stderr.startswith("rollbook: cannot reach the database: ")
    assert refused.stderr.count("\n") == 1
    assert "secret" not in refused.stderr


@pytest.mark.parametrize("role", ["api", "projector", "relay", "worker"])
@pytest.mark.parametrize(
    "stop_signal", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.long)]
)
def test_a_role_runs_and_drains(
    request: pytest.FixtureRequest,
    settings: dict[str, str],
    start: Start,
    log: Path,
    role: str,
    stop_signal: signal.Signals,
) -> None:
    if role == "relay":
        settings["ROLLBOOK_AMQP_URL"] = request.getfixturevalue("amqp_url")
    process = start(role, *(["--port", "0"] if role == "api" else []))
    until(lambda: any(line["event"] == "ready" for line in lines(log)))
    ready = next(line for line in lines(log) if line["event"] == "ready")
    assert ready["roles"] == [role]
    assert ("port" in ready) == (role == "api")
    process.send_signal(stop_signal)
    assert process.wait(timeout=30) == 0
    assert lines(log)[-1]["event"] == "stopped"


@pytest.mark.parametrize("role", ["api", "projector", "relay", "worker"])
def test_a_role_that_cannot_start_exits_with_an_error(settings: dict[str, str], role: str) -> None:
    settings["ROLLBOOK_DATABASE_URL"] = "postgresql://x:secret@127.0.0.1:1/x"
    settings["ROLLBOOK_AMQP_URL"] = "amqp://127.0.0.1:1"
    ended = run_rollbook(role, *(["--port", "0"] if role == "api" else []), **settings)
    assert ended.returncode == 1
    assert '"event":"application failed"' in ended.stderr
    assert "secret" not in ended.stderr


def test_a_relay_without_a_rabbitmq_setting_is_refused(settings: dict[str, str]) -> None:
    refused = run_rollbook("relay", **settings)
    assert refused.returncode == 2
    assert refused.stderr == (
        "rollbook: ROLLBOOK_AMQP_URL: is not set (or ROLLBOOK_AMQP_URL_FILE)\n"
    )


def test_a_relay_without_keys_waits_until_a_process_with_keys_creates_the_log(
    settings: dict[str, str], start: Start, log: Path, amqp_url: str, master_keys: str
) -> None:
    del settings["ROLLBOOK_MASTER_KEY"], settings["ROLLBOOK_ADMIN_TOKEN"]
    settings["ROLLBOOK_AMQP_URL"] = amqp_url
    start("relay")
    until(lambda: any(line["event"] == "ready" for line in lines(log)))

    async def create_log() -> None:
        masters = MasterKeys.parse(master_keys)
        async with open_event_store(settings["ROLLBOOK_DATABASE_URL"], masters):
            assert not any(line["event"] == "relay_leads" for line in lines(log))

    asyncio.run(create_log())
    until(lambda: any(line["event"] == "relay_leads" for line in lines(log)))


def test_the_doctor_accepts_a_direct_connection(settings: dict[str, str]) -> None:
    healthy = run_rollbook("doctor", **settings)
    assert healthy.returncode == 0
    assert "is reached directly" in healthy.stdout


def test_the_doctor_reports_a_missing_setting(settings: dict[str, str]) -> None:
    del settings["ROLLBOOK_MASTER_KEY"]
    checked = run_rollbook("doctor", **settings)
    assert (checked.returncode, checked.stdout) == (2, "")
    assert "ROLLBOOK_MASTER_KEY" in checked.stderr


def test_the_help_lists_every_command() -> None:
    shown = run_rollbook("--help").stdout
    for command in ("up", "api", "projector", "relay", "worker", "migrate", "doctor", "import"):
        assert f" {command} " in shown
    assert " serve " not in shown
