"""Jobs in a running Rollbook: from the queue through the worker to the API."""

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import pytest
from typer.testing import CliRunner
from uuid_utils.compat import uuid7

from application.jobs.model import Job
from infrastructure.database import Database
from infrastructure.embedded.postgres import EmbeddedPostgres
from infrastructure.jobs.postgres import PostgresJobs
from interfaces.cli.jobs.app import jobs as commands
from tests.support.servers.prepared_data import prepared
from tests.support.servers.rollbook import RunningRollbook, run_rollbook, until

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def rollbook(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningRollbook]:
    with RunningRollbook(prepared(tmp_path_factory.mktemp("jobs") / "data")) as rollbook:
        yield rollbook


@pytest.fixture
def client(rollbook: RunningRollbook) -> Iterator[httpx2.Client]:
    headers = {"Authorization": f"Bearer {rollbook.token}"}
    with httpx2.Client(base_url=rollbook.url, headers=headers, trust_env=False) as client:
        yield client


def submitted(rollbook: RunningRollbook, kind: str, number: int = 1) -> list[Job]:
    async def submit() -> list[Job]:
        url = EmbeddedPostgres(rollbook.data_dir / "postgres").url
        async with Database.open(url, size=2) as database:
            jobs = PostgresJobs(database, uuid7)
            return [await jobs.submit(kind, {}, actor="system:test") for _ in range(number)]

    return asyncio.run(submit())


def shown(client: httpx2.Client, job: Job) -> dict[str, Any]:
    answer = client.get(f"/v1/jobs/{job.id}")
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_the_worker_runs_a_new_job_at_once(
    rollbook: RunningRollbook, client: httpx2.Client
) -> None:
    began = time.monotonic()
    (job,) = submitted(rollbook, "purge")
    until(lambda: shown(client, job)["state"] == "succeeded")
    assert time.monotonic() - began < 5
    assert shown(client, job)["result"] == {
        "receipts": 0,
        "tickets": 0,
        "exports": 0,
        "jobs": 0,
        "reaction_runs": 0,
        "sessions": 0,
        "signin_links": 0,
        "token_uses": 0,
    }
    assert client.get(f"/v1/jobs/{job.id}/result").json()["receipts"] == 0


def test_a_job_of_an_unknown_kind_stays_queued_and_can_be_cancelled(
    rollbook: RunningRollbook, client: httpx2.Client
) -> None:
    (job,) = submitted(rollbook, "unknown-kind")
    assert client.get("/v1/jobs?state=queued").json()["items"][0]["id"] == str(job.id)
    assert client.post(f"/v1/jobs/{job.id}/cancel").json()["state"] == "cancelled"


@pytest.fixture
def command(rollbook: RunningRollbook, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Runs `rollbook jobs` in this process; gives exit code, output and errors."""
    monkeypatch.setenv("ROLLBOOK_URL", rollbook.url)
    monkeypatch.setenv("ROLLBOOK_TOKEN", rollbook.token)

    def run(*arguments: str) -> tuple[int, str, str]:
        done = CliRunner().invoke(commands, arguments, catch_exceptions=False)
        return done.exit_code, done.stdout, done.stderr

    return run


def test_the_command_lists_jobs_page_by_page(rollbook: RunningRollbook, command: Command) -> None:
    made = submitted(rollbook, "unknown-kind", 230)
    newest = [str(each.id) for each in sorted(made, key=lambda job: job.id, reverse=True)]
    code, lines, more = command("list", "--json", "--state", "queued,running", "--limit", "230")
    assert (code, [json.loads(line)["id"] for line in lines.splitlines()]) == (0, newest)
    assert more == ""
    code, lines, more = command("list", "--json", "--limit", "205")
    assert (code, [json.loads(line)["id"] for line in lines.splitlines()]) == (0, newest[:205])
    assert more == "rollbook: there are more than these 205: see --limit\n"
    code, table, more = command("list", "--limit", "1")
    assert (code, newest[0] in table, "more than these 1" in more) == (0, True, True)
    assert command("list", "--json", "--state", "failed") == (0, "", "")
    code, _, wrong = command("list", "--state", "queued,lost")
    assert (code, "there is no state lost" in wrong) == (2, True)


def test_the_command_shows_and_cancels_a_job(rollbook: RunningRollbook, command: Command) -> None:
    (job,) = submitted(rollbook, "unknown-kind")
    code, shown, _ = command("show", str(job.id))
    assert code == 0
    assert "state: queued\n" in shown
    assert "kind: unknown-kind\n" in shown
    for _ in range(2):
        code, line, _ = command("cancel", str(job.id), "--json")
        assert (code, json.loads(line)["state"]) == (0, "cancelled")
    (ended,) = submitted(rollbook, "purge")
    until(lambda: "state: succeeded" in command("show", str(ended.id))[1])
    code, shown, _ = command("cancel", str(ended.id))
    assert (code, "state: succeeded\n" in shown) == (1, True)
    for asked in ("show", "cancel"):
        code, nothing, reason = command(asked, str(uuid7()))
        assert (code, nothing) == (1, "")
        assert reason == "rollbook: There is no job with this id\n"
        assert command(asked, "../users?state=x")[:2] == (1, "")


def test_the_command_is_part_of_rollbook(rollbook: RunningRollbook) -> None:
    done = run_rollbook(
        "jobs", "list", "--json", "--limit", "999", "--data-dir", str(rollbook.data_dir)
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert all(json.loads(line)["id"] for line in done.stdout.splitlines())
