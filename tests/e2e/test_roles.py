"""The commands for servers: the schema first, then roles against a database that is given."""

import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.running import rollbook_command, rollbook_environment, run_rollbook, until

TOKEN = "a-token-of-thirty-two-characters"


@pytest.fixture
def settings(empty_database_url: str, master_keys: str) -> dict[str, str]:
    return {
        "ROLLBOOK_DATABASE_URL": empty_database_url,
        "ROLLBOOK_MASTER_KEY": master_keys,
        "ROLLBOOK_ADMIN_TOKEN": TOKEN,
    }


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log"


@pytest.fixture
def api(settings: dict[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    assert run_rollbook("migrate", **settings).returncode == 0
    with log.open("wb") as output:
        process = subprocess.Popen(
            rollbook_command("api", "--port", "0"),
            env=rollbook_environment(**settings),
            stderr=output,
            cwd="/",
        )
    yield process
    process.kill()
    process.wait()


def lines(log: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in log.read_text().splitlines()]


def test_migrating_twice_is_as_good_as_once(settings: dict[str, str]) -> None:
    for _ in range(2):
        migrated = run_rollbook("migrate", **settings)
        assert (migrated.returncode, migrated.stderr) == (0, "")


def test_migrating_needs_a_database_and_says_so() -> None:
    refused = run_rollbook("migrate")
    assert refused.returncode == 2
    assert refused.stderr == (
        "rollbook: ROLLBOOK_DATABASE_URL: is not set (or ROLLBOOK_DATABASE_URL_FILE)\n"
    )


def test_a_database_that_cannot_be_reached_is_one_line() -> None:
    refused = run_rollbook("migrate", ROLLBOOK_DATABASE_URL="postgresql://x:secret@127.0.0.1:1/x")
    assert refused.returncode == 1
    assert refused.stderr.startswith("rollbook: cannot reach the database: ")
    assert refused.stderr.count("\n") == 1
    assert "secret" not in refused.stderr


@pytest.mark.parametrize("asked", [signal.SIGTERM, signal.SIGINT])
def test_the_api_serves_and_drains(
    api: subprocess.Popen[bytes], log: Path, asked: signal.Signals
) -> None:
    until(lambda: any(line["event"] == "ready" for line in lines(log)))
    api.send_signal(asked)
    assert api.wait(timeout=30) == 0
    assert lines(log)[-1]["event"] == "stopped"


def test_the_doctor_finds_a_direct_server_well(settings: dict[str, str]) -> None:
    healthy = run_rollbook("doctor", **settings)
    assert healthy.returncode == 0
    assert "is reached directly" in healthy.stdout


def test_the_doctor_names_a_missing_setting(settings: dict[str, str]) -> None:
    del settings["ROLLBOOK_MASTER_KEY"]
    ill = run_rollbook("doctor", **settings)
    assert (ill.returncode, ill.stdout) == (2, "")
    assert "ROLLBOOK_MASTER_KEY" in ill.stderr


def test_the_help_names_every_command() -> None:
    shown = run_rollbook("--help").stdout
    for command in ("up", "api", "migrate", "doctor", "import"):
        assert f" {command} " in shown
    assert "serve" not in shown
