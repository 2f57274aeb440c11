"""The command `rollbook import`, against an in-memory server over HTTP."""

import json
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import uvicorn
from typer.testing import CliRunner, Result

from interfaces.cli.main import app
from tests.support.http.fake_rollbook import TOKEN, FakeRollbook, problem

PEOPLE = """\
version: 1

dn: cn=zoe
objectClass: person
cn:: Wm/Dqw==
mail: zoe@example.org
userPassword: {SSHA}c2VjcmV0

dn: cn=team
objectClass: groupOfNames
cn: team

dn: cn=nobody
objectClass: person
cn: Nobody

dn: cn=liam
objectClass: person
cn: Liam [bold]
mail: liam@example.org
"""

Command = Callable[..., Result]


@pytest.fixture
def server() -> FakeRollbook:
    return FakeRollbook()


@pytest.fixture
def url(server: FakeRollbook) -> Iterator[str]:
    """The address of the server."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        running = uvicorn.Server(uvicorn.Config(server, log_level="warning", lifespan="off"))
        thread = Thread(target=running.run, args=([listener],))
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        running.should_exit = True
        thread.join()


@pytest.fixture
def rollbook_import(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Run the command on the text of a file."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ROLLBOOK_URL", url)
    monkeypatch.setenv("ROLLBOOK_TOKEN", TOKEN)

    def run(text: str, *options: str, file: str = "people.ldif") -> Result:
        (tmp_path / "people.ldif").write_text(text)
        return CliRunner().invoke(app, ["import", file, *options])

    return run


def lines_of(result: Result) -> list[dict[str, Any]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_each_row_is_a_json_line_and_the_last_one_is_the_summary(rollbook_import: Command):
    result = rollbook_import(PEOPLE, "--json")
    assert lines_of(result) == [
        {"line": 3, "outcome": "created", "reason": None, "warning": None},
        {"line": 13, "outcome": "refused", "reason": "the entry has no mail", "warning": None},
        {"line": 17, "outcome": "created", "reason": None, "warning": None},
        {
            "summary": {
                "created": 2,
                "unchanged": 0,
                "differs": 0,
                "updated": 0,
                "refused": 1,
                "warnings": 0,
                "not_people": {"groups": 1},
                "last_line": 17,
                "dry_run": False,
                "file_problem": None,
                "stopped": None,
            }
        },
    ]
    assert result.exit_code == 1


def test_without_json_it_prints_a_table_of_problem_rows_and_the_counts(rollbook_import: Command):
    result = rollbook_import(PEOPLE)
    assert "the entry has no mail" in result.stdout
    assert "2 created, 0 unchanged, 0 differs, 0 updated, 1 refused." in result.stdout
    assert "Not people: groups 1." in result.stdout


def test_a_second_run_changes_nothing_and_says_so(server: FakeRollbook, rollbook_import: Command):
    text = PEOPLE.replace("cn: Nobody\n", "cn: Nobody\nmail: nobody@example.org\n")
    assert rollbook_import(text).exit_code == 0
    before = json.dumps(server.users)
    result = rollbook_import(text)
    assert (result.exit_code, json.dumps(server.users)) == (0, before)
    assert "0 created, 3 unchanged" in result.stdout


def test_update_changes_what_differs(server: FakeRollbook, rollbook_import: Command):
    rollbook_import(PEOPLE)
    result = rollbook_import(PEOPLE.replace("cn: Liam [bold]", "cn: Liam"), "--update", "--json")
    assert {"line": 17, "outcome": "updated", "reason": "name", "warning": None} in lines_of(result)
    assert "Liam" in {user["name"] for user in server.users.values()}


def test_no_value_of_the_file_is_ever_shown(rollbook_import: Command):
    broken = PEOPLE + "\ndn: cn=x\nobjectClass: person\ncn: Secret\nmail: secret@secret.invalid\n"
    shown = rollbook_import(broken).output + rollbook_import(broken, "--json").output
    for value in ("Secret", "secret", "zoe", "Zoë", "liam", "Liam", "SSHA", "c2VjcmV0"):
        assert value not in shown


def test_a_stopped_run_says_how_far_it_came(server: FakeRollbook, rollbook_import: Command):
    server.before = lambda _method, _path: server.failures.append(
        problem(403, "forbidden", "Enough.")
    )
    result = rollbook_import(PEOPLE, "--json")
    summary = lines_of(result)[-1]["summary"]
    assert result.exit_code == 1
    assert summary["stopped"] == "the token is refused: Enough"
    assert summary["created"] <= 1


def test_a_file_of_another_version_is_not_imported(rollbook_import: Command):
    result = rollbook_import("version: 2\n\ndn: cn=a\n")
    assert result.exit_code == 1
    assert "not LDIF of version 1" in result.stdout


def test_without_a_server_the_run_stops_at_once(
    rollbook_import: Command, monkeypatch: pytest.MonkeyPatch
):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    monkeypatch.setenv("ROLLBOOK_URL", f"http://127.0.0.1:{port}")
    result = rollbook_import(PEOPLE)
    assert result.exit_code == 1
    assert f"no Rollbook answers at http://127.0.0.1:{port}" in result.stdout


def test_a_wrong_token_is_reported_before_anything_is_sent(
    server: FakeRollbook, rollbook_import: Command, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("ROLLBOOK_TOKEN", "wrong")
    result = rollbook_import(PEOPLE)
    assert result.exit_code == 1
    assert "the token is refused" in result.stdout
    assert server.requests == []


def test_the_local_instance_is_found_in_its_data_directory(
    rollbook_import: Command, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delenv("ROLLBOOK_URL")
    monkeypatch.delenv("ROLLBOOK_TOKEN")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "instance.json").write_text(json.dumps({"url": url, "pid": os.getpid()}))
    (tmp_path / "data" / "admin-token").write_text(TOKEN + "\n")
    result = rollbook_import(PEOPLE, "--data-dir", "data", "--json")
    assert lines_of(result)[-1]["summary"]["created"] == 2


def test_an_address_without_a_token_is_a_usage_error(
    rollbook_import: Command, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delenv("ROLLBOOK_TOKEN")
    result = rollbook_import(PEOPLE)
    assert result.exit_code == 2
    assert "ROLLBOOK_TOKEN" in result.stderr


def test_without_any_rollbook_it_says_how_to_name_one(
    rollbook_import: Command, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delenv("ROLLBOOK_URL")
    result = rollbook_import(PEOPLE)
    assert result.exit_code == 1
    assert "ROLLBOOK_URL" in result.stderr


def test_a_file_that_is_not_there_is_a_usage_error(rollbook_import: Command):
    result = rollbook_import(PEOPLE, file="another.ldif")
    assert result.exit_code == 2
    assert "another.ldif" in result.stderr
