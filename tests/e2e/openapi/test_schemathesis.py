"""Schemathesis generates requests from the OpenAPI document and finds no wrong answer."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest

from tests.support.servers.postgres import scale, scaled
from tests.support.servers.prepared_data import prepared
from tests.support.servers.rollbook import ROOT, RunningRollbook

CONFIGURATION: Final = ROOT / "tests/support/schemathesis/schemathesis.toml"
MIN_CASES: Final = 1000
MAX_SECONDS: Final = 500


@pytest.fixture(scope="module")
def rollbook(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningRollbook]:
    data = prepared(tmp_path_factory.mktemp("schemathesis") / "data")
    # Without limits: else many answers would be refusals to sign in.
    with RunningRollbook(data, ROLLBOOK_RATE_LIMIT="0") as rollbook:
        yield rollbook


def test_every_answer_matches_the_openapi_document(
    rollbook: RunningRollbook, tmp_path: Path
) -> None:
    # Generating requests costs more than answering them, so two processes do it.
    shares = ["examples,coverage", "fuzzing,stateful"]
    with ThreadPoolExecutor() as executor:
        reports = list(executor.map(partial(report_of, rollbook, tmp_path), shares))
    for found in reports:
        assert found["operations"]["tested"] == found["operations"]["total"]
    assert sum(found["test_cases"]["generated"] for found in reports) >= MIN_CASES
    assert "request_failed" not in rollbook.output


def report_of(rollbook: RunningRollbook, directory: Path, phases: str) -> dict[str, Any]:
    """Runs these phases with all checks; fails if a check finds an error."""
    report = directory / f"{phases}.json"
    done = subprocess.run(
        [
            str(Path(sys.executable).with_name("schemathesis")),
            *("--config-file", str(CONFIGURATION)),
            *("run", f"{rollbook.url}/openapi.json"),
            *("--checks", "all", "--phases", phases),
            *("--max-examples", str(scaled(10) if scale() > 1 else 4)),
            *("--report", "json", "--report-json-path", str(report)),
        ],
        cwd=directory,
        env={**os.environ, "PYTHONPATH": str(ROOT), "ROLLBOOK_TOKEN": rollbook.token},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=scaled(MAX_SECONDS),
        check=False,
    )
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr
    return json.loads(report.read_text())
