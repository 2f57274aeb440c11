"""Only a server that can hold a log is accepted, and a refusal is one line without secrets."""

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

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


async def test_a_proxy_that_pools_transactions_is_refused(pooler: Pooler) -> None:
    with pytest.raises(UnsuitableServer, match="a proxy that pools transactions"):
        await check_server(pooler("transaction"))


async def test_a_proxy_that_pools_sessions_is_accepted(pooler: Pooler) -> None:
    assert await check_server(pooler("session"))
