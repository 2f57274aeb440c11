"""Jobs over HTTP: the list, one job, its result and its cancel."""

from datetime import datetime
from typing import Any, Final

import pytest
from httpx2 import AsyncClient, Response

from application.jobs.model import Job, JobFailed, JobKind, JobRun
from tests.support.http.directory import Directory, registered
from tests.support.jobs.jobs import echo, kind

UNKNOWN_ID: Final = "018f0000-0000-7000-8000-00000000ffff"


async def submitted(directory: Directory, name: str = "work", **arguments: Any) -> Job:
    return await directory.jobs.submit(name, arguments, actor="token:admin")


async def done(directory: Directory, *kinds: JobKind) -> None:
    directory.jobs.add_kinds(*kinds)
    await directory.jobs.run_queued()


def problem_of(answer: Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["type"].removeprefix("/problems/")


async def test_a_job_is_shown_from_its_submission_to_its_end(
    directory: Directory, admin: AsyncClient
) -> None:
    async def work(run: JobRun) -> dict[str, Any]:
        await run.report(2, 3)
        return {"rows": 3}

    job = await submitted(directory, user="018f")
    answer = await admin.get(f"/v1/jobs/{job.id}")
    waiting = answer.json()
    assert answer.status_code == 200
    assert answer.headers["Rollbook-Position"] == "0"
    assert datetime.fromisoformat(waiting.pop("created_at")) == job.created_at
    assert waiting == {
        "id": str(job.id),
        "kind": "work",
        "state": "queued",
        "arguments": {"user": "018f"},
        "actor": "token:admin",
        "progress": {"done": 0, "total": None, "rate": None, "eta_seconds": None},
        "result": None,
        "error": None,
        "attempts": 0,
        "started_at": None,
        "finished_at": None,
    }
    await done(directory, kind(work))
    ended = (await admin.get(f"/v1/jobs/{job.id}")).json()
    assert (ended["state"], ended["attempts"], ended["result"]) == ("succeeded", 1, {"rows": 3})
    assert (ended["progress"]["done"], ended["progress"]["total"]) == (2, 3)
    assert ended["started_at"].endswith("Z")
    assert ended["started_at"] <= ended["finished_at"]


async def test_the_description_of_a_job_has_its_members(
    directory: Directory, admin: AsyncClient
) -> None:
    job = (await admin.get(f"/v1/jobs/{(await submitted(directory)).id}")).json()
    schemas = (await admin.get("/openapi.json")).json()["components"]["schemas"]
    assert set(schemas["Job"]["required"]) == job.keys()
    assert set(schemas["JobProgress"]["required"]) == job["progress"].keys()


async def test_a_result_is_available_after_the_job_succeeded(
    directory: Directory, admin: AsyncClient
) -> None:
    async def fails(_: JobRun) -> dict[str, Any]:
        raise JobFailed("There is no such projection.")

    good, bad = await submitted(directory, n=1), await submitted(directory, "bad")
    queued = await admin.get(f"/v1/jobs/{good.id}/result")
    assert problem_of(queued) == (404, "not-found")
    assert queued.json()["detail"] == "The job has no result yet: its state is queued."
    await done(directory, kind(echo), kind(fails, "bad"))
    result = await admin.get(f"/v1/jobs/{good.id}/result")
    assert (result.status_code, result.json()) == (200, {"n": 1})
    assert result.headers["Rollbook-Position"] == "0"
    failed = await admin.get(f"/v1/jobs/{bad.id}/result")
    assert failed.json()["detail"] == "The job has no result: its state is failed."
    shown = (await admin.get(f"/v1/jobs/{bad.id}")).json()
    assert (shown["state"], shown["error"]) == ("failed", "There is no such projection.")


async def test_a_queued_job_is_cancelled_once(directory: Directory, admin: AsyncClient) -> None:
    await registered(admin)
    job = await submitted(directory)
    first = await admin.post(f"/v1/jobs/{job.id}/cancel", headers={"Idempotency-Key": "mine"})
    assert (first.status_code, first.json()["state"]) == (200, "cancelled")
    assert first.headers["Rollbook-Position"] == "1"
    second = await admin.post(f"/v1/jobs/{job.id}/cancel", json={})
    assert (second.status_code, second.json()) == (200, first.json())


async def test_a_cancel_refuses_members_parameters_and_invalid_keys(
    directory: Directory, admin: AsyncClient
) -> None:
    job = await submitted(directory)
    path = f"/v1/jobs/{job.id}/cancel"
    assert problem_of(await admin.post(path, json={"now": True})) == (422, "invalid-request")
    assert problem_of(await admin.post(path + "?now=1")) == (422, "invalid-request")
    broken = await admin.post(path, headers={"Idempotency-Key": "x" * 256})
    assert problem_of(broken) == (422, "invalid-request")
    assert (await admin.get(f"/v1/jobs/{job.id}")).json()["state"] == "queued"


@pytest.mark.parametrize("job_id", [UNKNOWN_ID, "nonsense", "00000000-0000-0000-0000-000000000000"])
async def test_an_unknown_job_is_not_found(admin: AsyncClient, job_id: str) -> None:
    path = f"/v1/jobs/{job_id}"
    for answer in (
        await admin.get(path),
        await admin.get(path + "/result"),
        await admin.post(path + "/cancel"),
    ):
        assert problem_of(answer) == (404, "not-found")


@pytest.mark.parametrize("token", ["nobody", "reader", "writer"])
async def test_the_list_of_jobs_is_for_administrators_and_exporters(
    directory: Directory, token: str
) -> None:
    async with directory.as_(token) as client:
        for answer in (await client.get("/v1/jobs"), await client.get("/v1/jobs?unknown=1")):
            assert problem_of(answer) == (403, "forbidden")
            assert answer.json()["permission"] == "admin"


@pytest.mark.parametrize("token", ["nobody", "reader", "writer", "auditor"])
async def test_a_job_is_for_administrators(directory: Directory, token: str) -> None:
    job = await submitted(directory)
    async with directory.as_(token) as client:
        for answer in (
            await client.get(f"/v1/jobs/{job.id}"),
            await client.get(f"/v1/jobs/{job.id}/result"),
            await client.post(f"/v1/jobs/{job.id}/cancel"),
        ):
            assert problem_of(answer) == (403, "forbidden")
            assert answer.json()["permission"] == "admin"


async def test_jobs_are_listed_in_pages_newest_first(
    directory: Directory, admin: AsyncClient
) -> None:
    jobs = [await submitted(directory, n=n) for n in range(5)]
    first = (await admin.get("/v1/jobs?limit=2")).json()
    assert [item["arguments"]["n"] for item in first["items"]] == [4, 3]
    assert first["items"][0] == (await admin.get(f"/v1/jobs/{jobs[4].id}")).json()
    assert first["position"] == 0
    await submitted(directory, n=5)
    second = (await admin.get(f"/v1/jobs?limit=3&cursor={first['next_cursor']}")).json()
    assert [item["arguments"]["n"] for item in second["items"]] == [2, 1, 0]
    assert second["next_cursor"] is None
    answer = await admin.get("/v1/jobs")
    assert len(answer.json()["items"]) == 6
    assert answer.headers["Rollbook-Position"] == "0"


async def test_jobs_are_listed_by_state(directory: Directory, admin: AsyncClient) -> None:
    for n in range(4):
        await submitted(directory, n=n)
    await done(directory, kind(echo))
    waiting = await submitted(directory, n=4)
    await admin.post(f"/v1/jobs/{(await submitted(directory)).id}/cancel")
    for states, count in [
        ("queued", 1),
        ("succeeded", 4),
        ("queued,succeeded", 5),
        ("running,failed", 0),
    ]:
        items = (await admin.get(f"/v1/jobs?state={states}")).json()["items"]
        assert len(items) == count
        assert {item["state"] for item in items} <= set(states.split(","))
    assert (await admin.get("/v1/jobs?state=queued")).json()["items"][0]["id"] == str(waiting.id)


async def test_a_cursor_belongs_to_its_filters_and_its_list(
    directory: Directory, admin: AsyncClient
) -> None:
    for n in range(3):
        await submitted(directory, n=n)
        await registered(admin, email=f"ada{n}@example.org")
    page = (await admin.get("/v1/jobs?state=queued,running&limit=1")).json()
    cursor = page["next_cursor"]
    again = await admin.get(f"/v1/jobs?state=running,queued&limit=1&cursor={cursor}")
    assert again.status_code == 200
    users = (await admin.get("/v1/users?limit=1")).json()["next_cursor"]
    for path in (
        f"/v1/jobs?cursor={cursor}",
        f"/v1/jobs?state=queued&cursor={cursor}",
        f"/v1/jobs?cursor={users}",
        "/v1/jobs?cursor=nonsense",
        f"/v1/users?cursor={cursor}",
    ):
        refused = await admin.get(path)
        assert problem_of(refused) == (422, "invalid-request"), path
        assert [error["pointer"] for error in refused.json()["errors"]] == ["cursor"]


@pytest.mark.parametrize("query", ["state=done", "state=", "limit=0", "limit=201", "kind=purge"])
async def test_wrong_parameters_are_refused(admin: AsyncClient, query: str) -> None:
    assert problem_of(await admin.get(f"/v1/jobs?{query}")) == (422, "invalid-request")
