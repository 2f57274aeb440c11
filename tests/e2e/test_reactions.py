"""`rollbook reactions` against a running Rollbook without a mail server: its reactions are off."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.servers.prepared_data import prepared
from tests.support.servers.rollbook import RunningRollbook, run_rollbook

USER = "019a8f2e-6c1b-7d3a-9f00-2b1c4d5e6f70"


@pytest.mark.long
async def test_an_operator_lists_and_switches_reactions(tmp_path: Path) -> None:
    with RunningRollbook(prepared(tmp_path / "data")) as rollbook:
        here = ("--data-dir", str(rollbook.data_dir))

        def lines(*command: str) -> list[dict[str, Any]]:
            ran = run_rollbook("reactions", *command, "--json", *here)
            assert (ran.returncode, ran.stderr) == (0, "")
            return [json.loads(line) for line in ran.stdout.splitlines()]

        listed = {item["name"]: item for item in lines("list")}
        assert {"email-change-notice", "welcome"} <= listed.keys()
        assert listed["email-change-notice"]["state"] == "off"
        assert listed["email-change-notice"]["reason"] == "ROLLBOOK_SMTP_URL is not set"
        (off,) = lines("disable", "welcome")
        assert (off["enabled"], off["reason"]) == (False, "disabled by token:admin")
        assert lines("parked", "welcome") == []
        table = run_rollbook("reactions", "list", *here).stdout
        assert "welcome" in table
        refused = run_rollbook("reactions", "retry", "welcome", USER, *here)
        assert refused.returncode == 1
        assert "This user is not parked for the reaction" in refused.stderr
        usage = run_rollbook("reactions", "skip", "welcome", USER, *here)
        assert usage.returncode == 2
