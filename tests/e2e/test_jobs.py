"""Jobs in a running Rollbook: from the queue through the worker to the API."""

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from uuid_utils.compat import uuid7

from application.jobs.model import Job
from infrastructure.database import Database
from infrastructure.embedded.postgres import EmbeddedPostgres
from infrastructure.jobs.postgres import PostgresJobs
from tests.support.servers.prepared_data import prepared
from tests.support.servers.rollbook import RunningRollbook, until


@pytest.fixture(scope="module")
def rollbook(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningRollbook]:
    with RunningRollbook(prepared(tmp_path_factory.mktemp("jobs") / "data")) as rollbook:
        yield rollbook


@pytest.fixture
def client(rollbook: RunningRollbook) -> Iterator[httpx2.Client]:
    headers = {"Authorization": f"Bearer {rollbook.token}"}
    with httpx2.Client(base_url=rollbook.url, headers=headers, trust_env=False) as client:
        yield client


def submitted(rollbook: RunningRollbook, kind: str) -> Job:
    async def submit() -> Job:
        url = EmbeddedPostgres(rollbook.data_dir / "postgres").url
        async with Database.open(url, size=2) as database:
            return await PostgresJobs(database, uuid7).submit(kind, {}, actor="system:test")

    return asyncio.run(submit())


def shown(client: httpx2.Client, job: Job) -> dict[str, Any]:
    answer = client.get(f"/v1/jobs/{job.id}")
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_the_worker_runs_a_new_job_at_once(
    rollbook: RunningRollbook, client: httpx2.Client
) -> None:
    began = time.monotonic()
    job = submitted(rollbook, "purge")
    until(lambda: shown(client, job)["state"] == "succeeded")
    assert time.monotonic() - began < 5
    assert shown(client, job)["result"] == {
        "receipts": 0,
        "tickets": 0,
        "exports": 0,
        "jobs": 0,
    }
    assert client.get(f"/v1/jobs/{job.id}/result").json()["receipts"] == 0


def test_a_job_of_an_unknown_kind_stays_queued_and_can_be_cancelled(
    rollbook: RunningRollbook, client: httpx2.Client
) -> None:
    job = submitted(rollbook, "unknown-kind")
    assert client.get("/v1/jobs?state=queued").json()["items"][0]["id"] == str(job.id)
    assert client.post(f"/v1/jobs/{job.id}/cancel").json()["state"] == "cancelled"
