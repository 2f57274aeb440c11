"""A role whose database failed over exits, so that its supervisor restarts it."""

import subprocess

import psycopg

from tests.support.run.logs import new_log
from tests.support.servers.rollbook import rollbook_command, rollbook_environment, until


def test_a_role_exits_with_an_error_when_the_log_gets_a_new_epoch(
    database_url: str, master_keys: str
) -> None:
    environment = rollbook_environment(
        ROLLBOOK_DATABASE_URL=database_url,
        ROLLBOOK_MASTER_KEY=master_keys,
        ROLLBOOK_ADMIN_TOKEN="a-token-of-thirty-two-characters",
    )
    log = new_log("projector")
    with (
        log.open("wb") as output,
        subprocess.Popen(
            rollbook_command("projector"), env=environment, stderr=output, cwd="/"
        ) as process,
    ):
        try:
            until(lambda: '"ready"' in log.read_text(), 30)
            with psycopg.connect(database_url, autocommit=True) as connection:
                connection.execute("UPDATE log SET epoch = epoch + 1")
            assert process.wait(30) == 1
        finally:
            process.kill()
    assert "log_moved" in log.read_text()
