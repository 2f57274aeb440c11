"""Only a server that can hold a log is accepted, and a refusal is one line without secrets."""

import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from infrastructure.embedded.account import account_for
from infrastructure.server_checks import UnsuitableServer, check_server
from tests.support.servers.postgres import name_of, skip_or_fail
from tests.support.servers.rollbook import until

Pooler = Callable[[str], str]


@pytest.fixture
def pooler(empty_database_url: str, tmp_path: Path) -> Iterator[Pooler]:
    """Starts a pgbouncer in a pool mode in front of the database; its URL."""
    program = shutil.which("pgbouncer", path="/usr/sbin:/usr/bin:/usr/local/bin")
    if program is None:
        skip_or_fail("no pgbouncer on this machine")
    processes: list[subprocess.Popen[bytes]] = []
    server = {
        key: value
        for key, value in conninfo_to_dict(empty_database_url).items()
        if key in ("host", "port", "user", "password", "dbname")
    }

    def start(mode: str) -> str:
        settings = tmp_path / "pgbouncer.ini"
        place = " ".join(f"{key}={value}" for key, value in server.items())
        settings.write_text(
            f"[databases]\n{name_of(empty_database_url)} = {place}\n"
            f"[pgbouncer]\nunix_socket_dir = {tmp_path}\nlisten_port = 6543\nlisten_addr =\n"
            f"auth_type = any\npool_mode = {mode}\nlogfile = {tmp_path}/log\n"
        )
        prefix = account_for(tmp_path).prefix
        processes.append(subprocess.Popen([*prefix, program, "--quiet", str(settings)]))
        until((tmp_path / ".s.PGSQL.6543").exists)
        return f"postgresql:///{name_of(empty_database_url)}?host={tmp_path}&port=6543&user=any"

    yield start
    for process in processes:
        process.kill()
        process.wait()


async def test_a_direct_server_is_accepted(empty_database_url: str) -> None:
    with psycopg.connect(empty_database_url) as connection:
        version = connection.info.parameter_status("server_version")
    assert await check_server(empty_database_url) == version


async def test_the_error_for_an_absent_server_is_one_line_without_the_password() -> None:
    with pytest.raises(UnsuitableServer, match="cannot reach the database: ") as refused:
        await check_server("postgresql://rollbook:hush@127.0.0.1:1/rollbook")
    assert "hush" not in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("postgresql://grace:hush@127.0.0.1:1/people", "nothing listens there (127.0.0.1:1)"),
        ("postgresql://grace:hush@/people?host=/nowhere", "nothing listens there (/nowhere)"),
        # Without percent-encoding, a part of the password is read as the host or the port.
        ("postgresql://grace:a@hush@nowhere.invalid/people", "the name of its host is unknown"),
        ("postgresql://db:hush/b@127.0.0.1/people", ""),
        ("postgresql://127.0.0.1/people?hush=1", "ROLLBOOK_DATABASE_URL cannot be read"),
    ],
)
async def test_the_error_for_an_absent_server_has_no_text_of_the_driver(
    url: str, message: str
) -> None:
    with pytest.raises(UnsuitableServer) as refused:
        await check_server(url)
    assert str(refused.value).startswith(f"cannot reach the database: {message}")
    assert not re.search("hush|grace|people|failed", str(refused.value))


async def test_an_absent_database_is_reported_without_its_name(empty_database_url: str) -> None:
    with pytest.raises(UnsuitableServer) as refused:
        await check_server(make_conninfo(empty_database_url, dbname="hush"))
    assert "it has no such database or user" in str(refused.value)
    assert "hush" not in str(refused.value)


async def test_a_proxy_that_pools_transactions_is_refused(pooler: Pooler) -> None:
    with pytest.raises(UnsuitableServer, match="a proxy that pools transactions"):
        await check_server(pooler("transaction"))


async def test_a_proxy_that_pools_sessions_is_accepted(pooler: Pooler) -> None:
    assert await check_server(pooler("session"))
