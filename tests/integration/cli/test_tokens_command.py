"""`rollbook tokens` against a directory in memory: what it asks for, prints and refuses."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest
import typer
from typer.testing import CliRunner

from interfaces.cli.client import admin
from interfaces.cli.main import app
from interfaces.cli.tokens import run
from interfaces.cli.tokens.durations import parse_duration
from tests.support.http.directory import Directory

Command = Callable[..., Any]


@pytest.fixture
def directory() -> Directory:
    return Directory()


@pytest.fixture
def tokens(directory: Directory, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Runs the command as an administrator of the directory."""

    class Found:
        def client(self) -> httpx2.AsyncClient:
            return httpx2.AsyncClient(
                transport=httpx2.ASGITransport(directory.app),
                base_url="http://rollbook",
                headers={"Authorization": "Bearer admin"},
            )

    def find(_: Path) -> Found:
        return Found()

    for module in (admin, run):
        monkeypatch.setattr(module, "find_rollbook", find)

    def command(*arguments: str) -> Any:
        return CliRunner().invoke(app, ["tokens", *arguments])

    return command


def printed(done: Any) -> dict[str, Any]:
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def test_a_token_is_created_listed_rotated_and_revoked(tokens: Command) -> None:
    created = printed(tokens("create", "crm", "--preset", "reader", "--expires", "90d", "--json"))
    assert created["permissions"] == ["users:read", "events:read"]
    assert created["token"].startswith("rbk_")
    expires_at = datetime.fromisoformat(created["expires_at"])
    assert abs(expires_at - datetime.now(UTC) - timedelta(days=90)) < timedelta(minutes=1)
    listed = printed(tokens("list", "--json"))
    assert listed == {name: created[name] for name in created if name != "token"}
    rotated = printed(tokens("rotate", created["id"], "--overlap", "1h", "--json"))
    assert rotated["token"] != created["token"]
    ends = datetime.fromisoformat(rotated["former_expires_at"]) - datetime.now(UTC)
    assert timedelta(minutes=59) < ends <= timedelta(hours=1)
    assert printed(tokens("revoke", created["id"], "--json"))["status"] == "revoked"
    assert tokens("list", "--json").stdout == ""


def test_the_secret_is_on_the_standard_output_and_nowhere_else(tokens: Command) -> None:
    done = tokens("create", "crm", "--permission", "audit:read", "--permission", "users:read")
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("token: ")]
    assert line.startswith("token: rbk_")
    assert done.stderr == "Keep the token now: it is not shown again.\n"
    table = tokens("list").stdout
    assert "crm" in table
    assert "['" not in table, "a list is shown as people write one"
    assert "rbk_" not in tokens("list").output


@pytest.mark.parametrize(
    "arguments",
    [
        ("create", "crm"),
        ("create", "crm", "--preset", "reader", "--permission", "admin"),
        ("create", "crm", "--preset", "owner"),
        ("create", "crm", "--permission", "users:delete"),
        ("create", "crm", "--preset", "reader", "--expires", "soon"),
        ("rotate", "some", "--overlap", "1.5h"),
    ],
)
def test_a_wrong_use_is_refused_before_anything_is_sent(
    tokens: Command, directory: Directory, arguments: tuple[str, ...]
) -> None:
    done = tokens(*arguments)
    assert (done.exit_code, done.stdout) == (2, "")


def test_what_the_server_refuses_is_one_line(tokens: Command) -> None:
    for arguments, reason in (
        (("rotate", "some"), "There is no token with this id"),
        (("revoke", "a/b"), "There is no token with this id"),
        (("create", " ", "--preset", "reader"), "name: A name must not be empty"),
        (("create", "crm", "--preset", "reader", "--expires", "0s"), "expires_at: Must be in the"),
    ):
        done = tokens(*arguments)
        assert (done.exit_code, done.stdout) == (1, "")
        assert done.stderr.startswith("rollbook: ")
        assert reason in done.stderr
        assert done.stderr.count("\n") == 1


def test_a_secret_that_was_lost_with_an_answer_is_named_as_lost(
    tokens: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def answer_of_a_repeat(*_: object, **__: object) -> dict[str, str | None]:
        return {"id": "some", "token": None}

    monkeypatch.setattr(run, "print_answer", answer_of_a_repeat)
    done = tokens("create", "crm", "--preset", "reader")
    assert done.exit_code == 1
    assert "rollbook tokens rotate some" in done.stderr


def test_a_duration_has_one_unit() -> None:
    assert parse_duration("90d") == timedelta(days=90)
    assert parse_duration("30m") == timedelta(minutes=30)
    for text in ("", "90", "d", "-1d", "1d2h", "1y", "٣d"):
        with pytest.raises(typer.BadParameter):
            parse_duration(text)
