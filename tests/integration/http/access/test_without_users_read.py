"""A caller that may do everything but read users gets no personal data: in no answer, no frame."""

import json
from collections.abc import AsyncGenerator, Sequence
from typing import Any, Final

import pytest
from httpx2 import AsyncClient, Response
from structlog.testing import capture_logs

from application.identity import PERMISSIONS, Principal
from interfaces.http.app import OPERATIONS
from tests.support.access.contract import CONTRACT
from tests.support.http.directory import Directory
from tests.support.http.streaming import StreamingDirectory, frame, served, streaming

Json = dict[str, Any]
MARK: Final = "zz-secret"
PERSON: Final[Json] = {
    "name": f"{MARK}-name Lovelace",
    "email": f"{MARK}-mail@example.org",
    "external_id": f"{MARK}-number",
    "attributes": {f"{MARK}-key": [f"{MARK}-value", {"deep": f"{MARK}-deep"}]},
}
BLIND: Final = Principal(
    actor="token:blind", permissions=frozenset(PERMISSIONS) - {"users:read", "admin"}
)
SEEING: Final = Principal(actor="token:blind", permissions=frozenset({"users:read", "users:write"}))
REASON: Final = {"reason": f"{MARK}-reason"}
UNKNOWN_ID: Final = "018f0000-0000-7000-8000-00000000ffff"
Asked = tuple[str, str, Any, int]


class World:
    """A directory with two marked people, and a caller that sees neither."""

    def __init__(self, directory: Directory, admin: AsyncClient, blind: AsyncClient) -> None:
        self.directory = directory
        self.admin = admin
        self.blind = blind
        self.ids: dict[str, str] = {}

    async def fill(self) -> None:
        """People with a history of every kind of change."""
        path = await self._registered("user", PERSON)
        await self.admin.patch(path, json={"name": f"{MARK}-second", "external_id": f"{MARK}-2"})
        await self.admin.patch(path, json={"email": f"{MARK}-new@example.org"})
        await self.admin.patch(path, json={"attributes": {f"{MARK}-key": f"{MARK}-changed"}})
        for command in ("suspend", "reinstate"):
            await self.admin.post(f"{path}/{command}", json=REASON)
        other = {**PERSON, "email": f"{MARK}-other@example.org", "external_id": f"{MARK}-other"}
        gone = await self._registered("gone", other)
        await self.admin.request("DELETE", gone, json=REASON)
        page = (await self.admin.get("/v1/events")).json()
        self.ids["event"] = page["items"][0]["id"]

    async def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Response:
        """The answer to the caller; no part of it has a mark, whatever it is."""
        path = path.format(**self.ids)
        answer = await self.blind.request(method, path, json=body, headers=headers)
        shown = f"{answer.text} {answer.headers}"
        assert MARK not in shown, (method, path, shown)
        return answer

    async def _registered(self, name: str, person: Json) -> str:
        answer = await self.admin.post("/v1/users", json=person)
        self.ids[name] = answer.raise_for_status().json()["id"]
        return f"/v1/users/{self.ids[name]}"


@pytest.fixture
async def world(directory: Directory, admin: AsyncClient) -> AsyncGenerator[World]:
    directory.tokens.add("blind", BLIND)
    async with directory.as_("blind") as blind:
        world = World(directory, admin, blind)
        await world.fill()
        yield world


REPLACED: Final[Json] = {
    "name": "New",
    "email": "new@example.org",
    "role": "owner",
    "external_id": None,
    "attributes": {},
}
# What the caller may ask: the operation, its path, a body, and the status of the answer.
REQUESTS: Final[Sequence[Asked]] = [
    ("GET /v1/audit", "?limit=200", None, 200),
    ("GET /v1/audit", f"?user={PERSON['email']}", None, 200),
    ("GET /v1/audit", "?types=access.*", None, 200),
    ("GET /v1/users/{user_id}/history", "{user}", None, 200),
    ("GET /v1/users/{user_id}/history", "{gone}", None, 200),
    ("GET /v1/users/{user_id}/blame", "{user}", None, 200),
    ("GET /v1/users/{user_id}/blame", "{gone}", None, 410),
    ("GET /v1/events", "?limit=1000", None, 200),
    ("GET /v1/events", "?user={user}&wait=1", None, 200),
    ("GET /v1/events/{event_id}", "{event}", None, 200),
    ("GET /v1/projections", "", None, 200),
    ("GET /v1/me", "", None, 200),
    ("GET /v1/jobs", "", None, 200),
    ("GET /v1/sessions", "", None, 200),
    ("DELETE /v1/sessions/{session_id}", UNKNOWN_ID, None, 404),
    ("POST /v1/stream/tickets", "", {}, 201),
    ("POST /v1/exports", "", {"what": "users", "format": "csv"}, 403),
    ("POST /v1/users", "", {"name": "New", "email": "first@example.org"}, 201),
    ("POST /v1/users", "", {"name": "N", "email": "n@example.org", "id": "{user}"}, 409),
    ("PATCH /v1/users/{user_id}", "{user}", {"role": "owner"}, 200),
    ("PATCH /v1/users/{user_id}", "{user}", {"attributes": {"new": 1}}, 200),
    ("PATCH /v1/users/{user_id}", "{user}", {"name": 7}, 422),
    ("PATCH /v1/users/{user_id}", "{gone}", {"role": "owner"}, 410),
    ("POST /v1/users/{user_id}/suspend", "{user}", {}, 200),
    ("POST /v1/users/{user_id}/reinstate", "{user}", {}, 200),
    ("POST /v1/users/{user_id}/restore", "{gone}", {}, 200),
    ("DELETE /v1/users/{user_id}", "{gone}", None, 204),
    ("PUT /v1/users/{user_id}", "{user}", REPLACED, 200),
]
EVENTS_OF_USER: Final = 7
# Asked in a test of its own, after an export.
OF_EXPORTS: Final = (
    "GET /v1/jobs/{job_id}",
    "GET /v1/jobs/{job_id}/result",
    "POST /v1/jobs/{job_id}/cancel",
)


def test_every_operation_that_the_caller_may_use_is_tried() -> None:
    may_use = {
        key
        for operation in OPERATIONS
        if (key := f"{operation.method} {operation.path}")
        and CONTRACT[key].kind != "open"
        and CONTRACT[key].refusal(BLIND) is None
    }
    assert may_use <= {key for key, *_ in REQUESTS} | {*OF_EXPORTS}, may_use


async def ask_everything(world: World) -> None:
    for key, rest, body, status in REQUESTS:
        method, _, path = key.partition(" ")
        path = (
            path.partition("{")[0] + rest + path.rpartition("}")[2] if "{" in path else path + rest
        )
        if isinstance(body, dict):
            body = json.loads(json.dumps(body).replace("{user}", world.ids["user"]))
        answer = await world.ask(method, path, body)
        assert answer.status_code == status, (key, answer.text)
        if method in ("POST", "PUT", "PATCH") and path.startswith("/v1/users") and status < 300:
            user = answer.json()
            hidden = (user["name"], user["email"], user["external_id"], user["attributes"])
            assert (user["personal"], hidden) == ("sealed", (None,) * 4)


async def test_no_answer_and_no_line_of_the_log_shows_personal_data(world: World) -> None:
    with capture_logs() as logs:
        await ask_everything(world)
    assert MARK not in str(logs)


async def test_the_repeat_of_a_command_shows_no_more_than_its_answer(world: World) -> None:
    """Also to a caller that had users:read when it sent the command."""
    path = f"/v1/users/{world.ids['user']}"
    first = await world.ask("PATCH", path, {"role": "owner"}, **{"Idempotency-Key": "mine"})
    again = await world.ask("PATCH", path, {"role": "owner"}, **{"Idempotency-Key": "mine"})
    assert (again.headers["Idempotency-Replayed"], again.json()) == ("true", first.json())
    key = {"Idempotency-Key": "as-a-reader"}
    world.directory.tokens.add("blind", SEEING)
    await world.directory.callers.check()
    shown = await world.blind.patch(path, json={"role": "member"}, headers=key)
    assert MARK in shown.text
    world.directory.tokens.add("blind", BLIND)
    await world.directory.callers.check()
    assert MARK not in (await world.blind.patch(path, json={"role": "member"}, headers=key)).text


async def test_no_refusal_shows_whose_value_is_taken(world: World) -> None:
    taken = [
        {"email": f"{MARK}-new@example.org".upper()},
        {"email": "free@example.org", "external_id": f"{MARK}-2"},
    ]
    for body in taken:
        answer = await world.blind.post("/v1/users", json={"name": "New", **body})
        assert answer.status_code == 409
        # Not even the id of the holder.
        assert world.ids["user"] not in answer.text
        assert MARK not in answer.text.lower()


@pytest.mark.parametrize("form", ["csv", "ndjson"])
async def test_no_job_and_no_file_of_an_export_shows_personal_data(world: World, form: str) -> None:
    filters = {"user": f"{MARK}-new@example.org", "actor": "token:admin"}
    job = (
        await world.ask(
            "POST", "/v1/exports", {"what": "audit", "format": form, "filters": filters}
        )
    ).json()
    waiting = (await world.ask("POST", "/v1/exports", {"what": "audit", "format": form})).json()
    await world.ask("POST", f"/v1/jobs/{waiting['id']}/cancel", {})
    await world.directory.jobs.run_queued()
    path = f"/v1/jobs/{job['id']}"
    assert (await world.ask("GET", path)).json()["state"] == "succeeded"
    rows = await world.ask("GET", f"{path}/result", Accept="*/*")
    assert rows.status_code == 200
    assert rows.text.count("user.") > 4
    # The caller of an export of people may not fetch it any more once it cannot read them.
    other = (await world.admin.post("/v1/exports", json={"what": "users", "format": form})).json()
    await world.directory.jobs.run_queued()
    assert (await world.ask("GET", f"/v1/jobs/{other['id']}/result")).status_code == 403


async def test_no_frame_of_a_stream_shows_personal_data() -> None:
    directory = StreamingDirectory()
    directory.tokens.add("blind", BLIND)
    async with served(directory.app) as url, directory.as_("admin") as admin:
        world = World(directory, admin, admin)
        await world.fill()
        for asked in ({}, {"user": world.ids["user"]}):
            seen = list[Json]()
            async with streaming(url, token="blind", after=0, **asked) as stream:
                await directory.notices.notify("info", "A rebuild has begun.", "/v1/jobs/1")
                while sum(len(each.get("events", [])) for each in seen) < EVENTS_OF_USER:
                    seen.append(await frame(stream))
            assert MARK not in json.dumps(seen)
