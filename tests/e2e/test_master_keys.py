"""Master keys: a wrong one stops the start with a one-line error; a rotation to a new one."""

import json
import re
from pathlib import Path
from typing import Any, Final

import pytest

from infrastructure.keys import MasterKeys
from interfaces.composition.event_store import open_event_store
from interfaces.roles import ROLES
from interfaces.settings import NEEDED
from tests.support.http.load import client_of
from tests.support.jobs.rotating import NEW, NEW_ID, OLD, OLD_FIRST, OLD_ID
from tests.support.log.drafts import registration
from tests.support.servers.prepared_data import prepared
from tests.support.servers.rollbook import RunningRollbook, run_rollbook
from tests.support.views.directory import execute

TOKEN: Final = "a-token-of-thirty-two-characters"


@pytest.fixture
async def settings(database_url: str) -> dict[str, str]:
    """Settings with the new key, for a log with one person under the old key."""
    async with open_event_store(database_url, MasterKeys.parse(OLD)) as store:
        await store.log.append(registration())
    return {
        "ROLLBOOK_DATABASE_URL": database_url,
        "ROLLBOOK_MASTER_KEY": NEW,
        "ROLLBOOK_ADMIN_TOKEN": TOKEN,
        "ROLLBOOK_AMQP_URL": "amqp://127.0.0.1:1",
    }


def missing_key_error(master_id: str) -> str:
    return (
        f"rollbook: ROLLBOOK_MASTER_KEY: lacks the key with id {master_id}, "
        "which seals data of this database\n"
    )


@pytest.mark.parametrize("role", [role for role in ROLES if "master_key" in NEEDED[role]])
def test_a_wrong_master_key_stops_every_role_that_needs_one_with_one_line(
    settings: dict[str, str], role: str
) -> None:
    refused = run_rollbook(role, *(["--port", "0"] if role == "api" else []), **settings)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr == missing_key_error(OLD_ID)


@pytest.mark.parametrize(
    "split", [(), pytest.param(("--split",), marks=pytest.mark.long)], ids=["", "split"]
)
def test_a_wrong_master_key_stops_rollbook_up_with_one_line(
    settings: dict[str, str], tmp_path: Path, split: tuple[str, ...]
) -> None:
    refused = run_rollbook("up", "--data-dir", str(tmp_path), "--port", "0", *split, **settings)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr == missing_key_error(OLD_ID)


def test_an_invalid_stored_master_key_stops_rollbook_up_with_one_line(tmp_path: Path) -> None:
    (tmp_path / "master-key").write_text("c2hvcnQ=")
    refused = run_rollbook("up", "--data-dir", str(tmp_path), "--port", "0")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr == (
        f"rollbook: {tmp_path}/master-key: "
        "must be a comma-separated list of keys of 32 bytes in base64, newest first\n"
    )


async def test_a_master_key_that_is_missing_for_one_person_stops_the_start(
    settings: dict[str, str],
) -> None:
    url = settings["ROLLBOOK_DATABASE_URL"]
    settings["ROLLBOOK_MASTER_KEY"] = OLD
    await execute(url, "UPDATE subject_keys SET master_id = 'f00dcafe'")
    refused = run_rollbook("worker", **settings)
    assert (refused.returncode, refused.stderr) == (2, missing_key_error("f00dcafe"))
    checked = run_rollbook("doctor", **settings)
    assert (checked.returncode, checked.stdout) == (2, "")
    assert checked.stderr == missing_key_error("f00dcafe").replace(
        "\n", " (it wraps 1 of the keys there)\n"
    )


async def test_an_index_key_that_cannot_be_opened_stops_the_start_with_one_line(
    settings: dict[str, str],
) -> None:
    url = settings["ROLLBOOK_DATABASE_URL"]
    settings["ROLLBOOK_MASTER_KEY"] = OLD
    await execute(url, "UPDATE log SET index_key = index_key || '\\x00'")
    refused = run_rollbook("worker", **settings)
    assert refused.returncode == 2
    assert re.fullmatch("rollbook: ROLLBOOK_MASTER_KEY: .* opens nothing there\n", refused.stderr)


def test_the_doctor_reports_keys_that_need_a_rotation(settings: dict[str, str]) -> None:
    settings["ROLLBOOK_MASTER_KEY"] = f"{NEW},{OLD}"
    before = run_rollbook("doctor", **settings)
    assert before.returncode == 0
    assert "2 keys are under an older master key: run `rollbook keys rotate`" in before.stdout
    settings["ROLLBOOK_MASTER_KEY"] = OLD_FIRST
    assert "rotate" not in run_rollbook("doctor", **settings).stdout


def test_keys_list_shows_what_each_master_key_is_used_for(settings: dict[str, str]) -> None:
    listed = run_rollbook("keys", "list", "--json", **settings)
    assert listed.returncode == 0
    assert [json.loads(line) for line in listed.stdout.splitlines()] == [
        {"id": NEW_ID, "place": 1, "keys": 0, "current": False},
        {"id": OLD_ID, "place": None, "keys": 2, "current": True},
    ]


def test_commands_on_a_database_without_a_schema_fail_with_one_line(
    empty_database_url: str, settings: dict[str, str]
) -> None:
    settings["ROLLBOOK_DATABASE_URL"] = empty_database_url
    for command in (("keys", "list"), ("keys", "rotate"), ("verify", "--schemas")):
        refused = run_rollbook(*command, **settings)
        assert (refused.returncode, refused.stdout) == (1, "")
        assert refused.stderr == "rollbook: the database is empty: run `rollbook migrate` first\n"


def test_keys_add_is_refused_when_a_setting_has_the_key_or_no_key_file_exists(
    settings: dict[str, str], tmp_path: Path
) -> None:
    configured = run_rollbook("keys", "add", "--data-dir", str(tmp_path), **settings)
    assert (configured.returncode, configured.stderr.count("\n")) == (2, 1)
    assert "ROLLBOOK_MASTER_KEY: is set" in configured.stderr
    nothing = run_rollbook("keys", "add", "--data-dir", str(tmp_path))
    assert (nothing.returncode, nothing.stderr.count("\n")) == (1, 1)
    assert list(tmp_path.iterdir()) == []


def test_commands_on_an_empty_data_directory_fail_with_one_line(tmp_path: Path) -> None:
    for command in (("keys", "rotate"), ("keys", "list"), ("verify", "--schemas")):
        refused = run_rollbook(*command, "--data-dir", str(tmp_path))
        assert (refused.returncode, refused.stderr.count("\n")) == (1, 1)
        assert "start one with `rollbook up`, or set ROLLBOOK_DATABASE_URL" in refused.stderr


async def test_a_local_rollbook_rotates_to_a_new_key_and_drops_the_old_one(
    tmp_path: Path,
) -> None:
    data = prepared(tmp_path / "data")
    here = ("--data-dir", str(data))
    with RunningRollbook(data) as rollbook:
        old = rollbook.master_key
        user = await register(rollbook)
        assert run_rollbook("keys", "add", *here).returncode == 0
        new, previous = rollbook.master_key.split(",")
        assert previous == old
        too_early = run_rollbook("keys", "rotate", "--json", *here)
        assert too_early.returncode == 1
        assert "start it with the new list first" in too_early.stderr
        assert json.loads(too_early.stdout.splitlines()[-1])["state"] == "failed"

        rollbook.stop()
        rollbook.start()
        rotated = run_rollbook("keys", "rotate", *here)
        assert rotated.returncode == 0
        assert f"2 keys rewrapped under {MasterKeys.parse(new).newest}" in rotated.stdout
        assert f"You can remove {MasterKeys.parse(old).newest} from the list" in rotated.stdout

        rollbook.stop()
        (data / "master-key").write_text(new)
        rollbook.start()
        assert (await shown(rollbook, user))["name"] == "Åsa Öberg"


async def test_verify_finds_a_stored_version_that_this_release_does_not_know(
    settings: dict[str, str],
) -> None:
    url = settings["ROLLBOOK_DATABASE_URL"]
    readable = run_rollbook("verify", "--schemas", "--json", ROLLBOOK_DATABASE_URL=url)
    assert (readable.returncode, readable.stderr) == (0, "")
    assert json.loads(readable.stdout) == {
        "topic": "user.registered",
        "version": 2,
        "events": 1,
        "readable": True,
    }
    later = "convert_to(replace(convert_from(state, 'UTF8'), '\"v\":2}', '\"v\":3}'), 'UTF8')"
    await execute(url, f"UPDATE stored_events SET state = {later}")
    unreadable = run_rollbook("verify", "--schemas", ROLLBOOK_DATABASE_URL=url)
    assert unreadable.returncode == 1
    assert "cannot be read" in unreadable.stdout
    as_json = run_rollbook("verify", "--schemas", "--json", ROLLBOOK_DATABASE_URL=url)
    assert (as_json.returncode, json.loads(as_json.stdout)["readable"]) == (1, False)


async def register(rollbook: RunningRollbook) -> str:
    body = {"name": "Åsa Öberg", "email": "asa@example.org"}
    async with client_of(rollbook.url, rollbook.token) as client:
        answer = await client.post("/v1/users", json=body)
    return answer.raise_for_status().json()["id"]


async def shown(rollbook: RunningRollbook, user: str) -> dict[str, Any]:
    async with client_of(rollbook.url, rollbook.token) as client:
        return (await client.get(f"/v1/users/{user}")).raise_for_status().json()
