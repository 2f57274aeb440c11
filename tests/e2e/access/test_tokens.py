"""`rollbook tokens` at a running Rollbook: a token that it makes admits the next command."""

import json
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.support.servers.prepared_data import prepared
from tests.support.servers.rollbook import RunningRollbook, run_rollbook, until


@pytest.mark.long
def test_the_command_makes_a_token_that_admits_another_command_until_it_is_revoked(
    tmp_path: Path,
) -> None:
    with RunningRollbook(prepared(tmp_path / "data")) as rollbook:

        def tokens(*arguments: str, **settings: str) -> list[dict[str, Any]]:
            here = ("--json", "--data-dir", str(rollbook.data_dir))
            done = run_rollbook("tokens", *arguments, *here, **settings)
            assert done.returncode == 0, done.stderr
            return [json.loads(line) for line in done.stdout.splitlines()]

        def is_admitted(secret: str) -> bool:
            headers = {"Authorization": f"Bearer {secret}"}
            answer = httpx2.get(f"{rollbook.url}/v1/me", headers=headers, trust_env=False)
            return answer.status_code == 200

        [ops] = tokens("create", "ops", "--preset", "admin", "--expires", "1h")
        [rotated] = tokens("rotate", ops["id"], ROLLBOOK_TOKEN=ops["token"])
        assert is_admitted(rotated["token"])
        until(lambda: not is_admitted(ops["token"]), 10)
        tokens("revoke", ops["id"])
        until(lambda: not is_admitted(rotated["token"]), 10)
        output = rollbook.output
    for secret in (ops["token"], rotated["token"]):
        assert secret not in output
