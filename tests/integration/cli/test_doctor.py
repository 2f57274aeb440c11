"""`rollbook doctor` says what the connections are missing, which projections no release has, and
whether the mail server takes mails.
"""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.support.servers.mail import MailReceiver, mail_settings
from tests.support.servers.rollbook import run_rollbook


@pytest.fixture
def settings(database_url: str, master_keys: str) -> dict[str, str]:
    return {
        "ROLLBOOK_DATABASE_URL": database_url,
        "ROLLBOOK_MASTER_KEY": master_keys,
        "ROLLBOOK_ADMIN_TOKEN": "a-token-of-thirty-two-characters",
    }


@pytest.fixture
def connection(database_url: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(database_url, autocommit=True) as connection:
        yield connection
        limit(connection, -1)


def limit(connection: psycopg.Connection, connections: int) -> None:
    """Allow so many connections to the database."""
    name = connection.info.dbname
    connection.execute(f"ALTER DATABASE {name} CONNECTION LIMIT {connections}".encode())


def said(settings: dict[str, str]) -> str:
    checked = run_rollbook("doctor", **settings)
    assert checked.returncode == 0, checked.stderr
    return checked.stdout


def test_it_compares_the_connections_with_what_processes_may_need(
    settings: dict[str, str], connection: psycopg.Connection
) -> None:
    assert "connections" not in said(settings)
    limit(connection, 30)
    lines = said(settings)
    assert "leaves Rollbook 30 connections" in lines
    assert "one process for each role may need 48 (12 each): raise max_connections by 18" in lines
    limit(connection, 20)
    assert "one process with all roles may need 25: raise max_connections by 5" in said(settings)


def test_it_names_a_projection_that_this_release_does_not_have(
    settings: dict[str, str], connection: psycopg.Connection
) -> None:
    connection.execute("INSERT INTO projections VALUES ('main', 'users', 1), ('main', 'old', 3)")
    lines = said(settings)
    assert "run `rollbook projections drop old`" in lines
    assert "drop users" not in lines


def test_it_asks_the_mail_server_and_sends_nothing(
    settings: dict[str, str], tmp_path: Path
) -> None:
    assert "no mail is sent: ROLLBOOK_SMTP_URL is not set" in said(settings)
    (tmp_path / "wellcome.txt").write_text("x")
    with MailReceiver().running() as receiver:
        mail = {**settings, **mail_settings(receiver), "ROLLBOOK_TEMPLATES": str(tmp_path)}
        lines = said(mail)
        assert "the mail server takes mails" in lines
        assert f"no mail uses the template {tmp_path}/wellcome.txt" in lines
        assert "ROLLBOOK_WELCOME_URL is not set" in lines
        receiver.replies["MAIL"] = ["550 5.7.1 words"]
        mail["ROLLBOOK_WELCOME_URL"] = "https://example.org/welcome"
        lines = said(mail)
        assert "mails wait: The mail server refuses the sender (550 5.7.1)." in lines
        assert "WELCOME" not in lines
        assert receiver.mails == []


@pytest.mark.parametrize("command", ["doctor", "worker"])
def test_a_broken_template_is_named_with_its_line(
    settings: dict[str, str], tmp_path: Path, command: str
) -> None:
    (tmp_path / "welcome.txt").write_text("Hello\n{{ nmae }}")
    ended = run_rollbook(
        command,
        **settings,
        ROLLBOOK_SMTP_URL="smtp://127.0.0.1:1",
        ROLLBOOK_SMTP_FROM="no-reply@example.org",
        ROLLBOOK_TEMPLATES=str(tmp_path),
    )
    assert ended.returncode == 2
    line = f"rollbook: ROLLBOOK_TEMPLATES: {tmp_path}/welcome.txt, line 2: there is no value nmae"
    assert [each for each in ended.stderr.splitlines() if each.startswith(line)], ended.stderr
    assert "Traceback" not in ended.stderr
