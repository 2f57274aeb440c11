"""Each failure is reported as the problem that the contract defines."""

import json
from typing import Any, NoReturn

import pytest
import structlog
from httpx2 import AsyncClient

from application.errors import (
    Contended,
    KeySeen,
    OutcomeUnknown,
    Overloaded,
    Unavailable,
    VersionConflict,
)
from application.users.service import UserService
from interfaces.http.protocol.problems import PROBLEMS, Slug
from tests.support.http.directory import ADA, Directory


def failing(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    async def execute(*_: Any, **__: Any) -> NoReturn:
        raise error

    monkeypatch.setattr(UserService, "execute", execute)


@pytest.mark.parametrize(
    ("error", "status", "slug"),
    [
        (Contended(), 409, "conflict"),
        (VersionConflict(), 409, "conflict"),
        (KeySeen(), 409, "conflict"),
        (Overloaded(), 503, "overloaded"),
        (Unavailable(), 503, "unavailable"),
        (OutcomeUnknown(), 503, "outcome-unknown"),
    ],
)
async def test_a_command_that_may_be_repeated_gets_a_retry_after(
    admin: AsyncClient, monkeypatch: pytest.MonkeyPatch, error: Exception, status: int, slug: str
) -> None:
    failing(monkeypatch, error)
    answer = await admin.post("/v1/users", json=ADA)
    assert (answer.status_code, answer.json()["type"]) == (status, f"/problems/{slug}")
    assert answer.json()["detail"] == str(error)
    assert int(answer.headers["Retry-After"]) >= 1


@pytest.mark.parametrize("error", [ValueError("ada@example.org"), RecursionError(), KeyError(1)])
async def test_a_fault_is_reported_and_logged_without_personal_data(
    admin: AsyncClient, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    failing(monkeypatch, error)
    with structlog.testing.capture_logs() as logs:
        answer = await admin.post("/v1/users", json=ADA, headers={"X-Request-ID": "r-1"})
    assert (answer.status_code, answer.json()["type"]) == (500, "/problems/internal")
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.headers["X-Request-ID"] == "r-1"
    assert answer.headers["Rollbook-Version"] == "1.2.3"
    assert [(log["event"], log["request_id"], log["error"]) for log in logs] == [
        ("request_failed", "r-1", type(error).__name__)
    ]
    assert logs[0]["route"] == "/v1/users"
    assert "ada" not in json.dumps(logs[0]).replace("test_problems", "")
    assert "ada" not in answer.text


async def test_a_problem_has_all_members_of_the_standard(anonymous: AsyncClient) -> None:
    assert (await anonymous.get("/v1/me")).json() == {
        "type": "/problems/unauthenticated",
        "title": "Authentication is needed",
        "status": 401,
        "detail": "Send a token: `Authorization: Bearer <token>`.",
    }


@pytest.mark.parametrize("slug", PROBLEMS)
async def test_every_problem_type_has_a_page(anonymous: AsyncClient, slug: Slug) -> None:
    page = await anonymous.get(f"/problems/{slug}")
    assert page.status_code == 200
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    assert PROBLEMS[slug].title in page.text
    assert f"/problems/{slug}" in page.text
    assert "$" not in page.text
    assert "`" not in page.text


async def test_an_unknown_problem_type_has_no_page(anonymous: AsyncClient) -> None:
    assert (await anonymous.get("/problems/no-such")).status_code == 404


async def test_a_client_that_disconnects_before_its_body_gets_no_answer(
    directory: Directory,
) -> None:
    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    async def send(_: Any) -> NoReturn:
        raise AssertionError("the client is gone")

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/v1/users",
        "query_string": b"",
        "headers": [(b"authorization", b"Bearer admin")],
    }
    await directory.app(scope, receive, send)


async def test_what_is_not_found_is_named_with_what_there_is(admin: AsyncClient) -> None:
    person = {"name": "Ada", "email": "ada@example.org"}
    user = (await admin.post("/v1/users", json=person)).json()
    path, nobody = f"/v1/users/{user['id']}", "/v1/users/018f3f5e-0000-7000-8000-00000000000f"
    await admin.patch(path, json={"name": "Ada King"})
    unknown = "There is no user with this id."
    job = "/v1/jobs/018f3f5e-0000-7000-8000-00000000000f"
    for request, detail in {
        f"GET {path}?version=99": "The user has versions 1 to 2,",
        f"GET {path}?at=2001-01-01T00:00:00Z": f"was registered at {user['created_at'][:19]}",
        f"GET {nobody}?version=99": unknown,
        f"GET {nobody}?at=2001-01-01T00:00:00Z": unknown,
        f"GET {nobody}": unknown,
        "POST /v1/projections/foo/rebuild": "There are: users, headcount.",
        "GET /v1/projections/foo/parked": "There are: users, headcount.",
        f"GET {job}": "There is no job with this id.",
        f"POST {job}/cancel": "There is no job with this id.",
        "GET /v1/events/018f3f5e-0000-7000-8000-00000000000f": "There is no event with this id.",
    }.items():
        method, _, target = request.partition(" ")
        answer = await admin.request(method, target)
        assert (answer.status_code, answer.json()["type"]) == (404, "/problems/not-found"), request
        assert detail in answer.json()["detail"], request
    past = (await admin.get(f"{path}?version=99")).json()
    assert (past["version"], past["created_at"]) == (2, user["created_at"])
