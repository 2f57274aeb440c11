"""`rollbook doctor` says what the connections are missing, and which projections no release has."""

from collections.abc import Iterator

import psycopg
import pytest

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
