"""An administrative command whose outcome is unknown is completed by a repeat with its key."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from httpx2 import ASGITransport, AsyncClient

from application.errors import OutcomeUnknown
from application.jobs.model import Job
from application.projector.rebuild_jobs import REBUILD
from interfaces.http.app import create_app
from tests.support.doubles.jobs import InMemoryJobs
from tests.support.http.directory import Directory

HEADERS = {"Authorization": "Bearer admin", "Idempotency-Key": "k"}
PATH = "/v1/projections/users/rebuild"


class LosingJobs:
    """Jobs whose first submission is recorded, and then fails."""

    def __init__(self, jobs: InMemoryJobs, failure: BaseException) -> None:
        self._jobs = jobs
        self._failure: BaseException | None = failure
        self.submitted: list[Job] = []

    async def submit(
        self, kind: str, arguments: Mapping[str, Any], *, job_id: UUID | None, **given: Any
    ) -> Job:
        # Without `once`, which finds the job only while it is unfinished.
        job = await self._jobs.submit(kind, arguments, actor=given["actor"], job_id=job_id)
        self.submitted.append(job)
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure
        return job


@pytest.mark.parametrize(
    ("failure", "status"),
    [(OutcomeUnknown(), 503), (RuntimeError("a fault"), 500), (asyncio.CancelledError(), None)],
    ids=["lost reply", "fault", "cancelled"],
)
async def test_a_repeat_finds_the_job(failure: BaseException, status: int | None) -> None:
    directory = Directory()
    jobs = LosingJobs(directory.jobs, failure)
    application = create_app(replace(directory.services, jobs=jobs))  # pyright: ignore[reportArgumentType]
    transport = ASGITransport(application, raise_app_exceptions=False)
    async with AsyncClient(transport=transport, base_url="http://rollbook") as client:
        if status is None:
            with pytest.raises(asyncio.CancelledError):
                await client.post(PATH, headers=HEADERS)
        else:
            assert (await client.post(PATH, headers=HEADERS)).status_code == status
        repeated = await client.post(PATH, headers=HEADERS)
    assert repeated.status_code == 202
    first, second = jobs.submitted
    assert first.id == second.id
    assert (first.kind, repeated.json()["id"]) == (REBUILD, str(first.id))
