"""`rollbook verify` on a running Rollbook: its output, its exit codes, and a repair."""

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx2
import pytest

from infrastructure.embedded.postgres import EmbeddedPostgres
from tests.support.servers.prepared_data import prepared
from tests.support.servers.rollbook import RunningRollbook, run_rollbook, until
from tests.support.views.directory import execute


@pytest.fixture
def rollbook(tmp_path: Path) -> Any:
    with RunningRollbook(prepared(tmp_path / "data")) as rollbook:
        yield rollbook


def verify(rollbook: RunningRollbook, *options: str) -> tuple[int, str]:
    done = run_rollbook("verify", *options, "--data-dir", str(rollbook.data_dir))
    return done.returncode, done.stdout


def test_differences_are_shown_and_repaired_and_queries_are_correct_again(
    rollbook: RunningRollbook,
) -> None:
    headers = {"Authorization": f"Bearer {rollbook.token}"}
    with httpx2.Client(base_url=rollbook.url, headers=headers, trust_env=False) as client:
        users = [
            client.post("/v1/users", json={"name": f"N{n}", "email": f"n{n}@example.org"}).json()
            for n in range(3)
        ]
        shown = f"/v1/users/{users[0]['id']}"
        before = client.get(shown).json()
        assert verify(rollbook)[0] == 0
        url = EmbeddedPostgres(rollbook.data_dir / "postgres").url
        for damage in (
            f"UPDATE users_g1 SET name = 'Wrong', version = 9 WHERE id = '{users[0]['id']}'",
            f"DELETE FROM headcount_g1 WHERE id = '{users[1]['id']}'",
            "UPDATE headcount_g1_counters SET value = 8 WHERE counter = 'status:active'",
        ):
            asyncio.run(execute(url, damage))
        code, table = verify(rollbook)
        assert code == 1
        assert f"users differs: {users[0]['id']}" in table
        assert "headcount miscounts: status:active" in table
        assert table.endswith("To repair: rollbook verify --repair\n")
        code, lines = verify(rollbook, "--repair", "--json")
        found = [json.loads(line) for line in lines.splitlines()]
        assert code == 0
        assert [(each["projection"], each["switched"], each["right"]) for each in found] == [
            ("users", True, True),
            ("headcount", True, True),
        ]
        code, table = verify(rollbook)
        assert (code, table.splitlines()[-1]) == (0, "All views match the log.")
        until(lambda: client.get(shown).json() == before)
        until(lambda: client.get("/v1/stats").json()["active"] == 3)
