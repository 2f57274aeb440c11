"""Administration of projections over HTTP: permissions, answers and refusals."""

from uuid import UUID

import pytest
from httpx2 import AsyncClient

from tests.support.http.directory import Directory

COMMANDS = ("rebuild", "verify", "pause", "resume")
BODIES: dict[str, dict[str, object]] = {
    "retry": {},
    "skip": {"version": 1, "reason": "a"},
    "unskip": {"version": 1},
}
STREAM = "019a8f2e-6c1b-7d3a-9f00-2b1c4d5e6f70"


async def test_a_rebuild_is_a_job_and_only_one_runs_for_each_projection(
    directory: Directory,
) -> None:
    async with directory.as_("admin") as admin:
        first = await admin.post("/v1/projections/users/rebuild")
        again = await admin.post("/v1/projections/users/rebuild", json={})
        other = await admin.post("/v1/projections/headcount/rebuild")
        assert (first.status_code, again.status_code, other.status_code) == (202, 202, 202)
        assert first.json()["id"] == again.json()["id"] != other.json()["id"]
        job = await admin.get(first.headers["Location"])
    assert job.json()["kind"] == "rebuild"
    assert job.json()["arguments"] == {"projection": "users"}
    assert first.headers["Rollbook-Position"] == "0"


async def test_a_verify_with_repair_is_another_job_than_a_verify(directory: Directory) -> None:
    async with directory.as_("admin") as admin:
        path = "/v1/projections/users/verify"
        compared = await admin.post(path)
        again = await admin.post(path, json={"repair": False})
        repaired = await admin.post(path, json={"repair": True})
        again_repaired = await admin.post(path, json={"repair": True})
        job = (await admin.get(repaired.headers["Location"])).json()
    assert compared.json()["id"] == again.json()["id"]
    assert repaired.json()["id"] == again_repaired.json()["id"] != compared.json()["id"]
    assert (job["kind"], job["arguments"]) == ("verify", {"projection": "users", "repair": True})


@pytest.mark.parametrize(
    ("body", "pointer", "detail"),
    [
        ({"repair": "yes"}, "#/repair", "Must be true or false."),
        ({"repair": None}, "#/repair", "Must be true or false."),
        ({"repairs": True}, "#/repairs", "Is not known here."),
    ],
)
async def test_wrong_members_of_a_verify_are_refused(
    directory: Directory, body: dict[str, object], pointer: str, detail: str
) -> None:
    async with directory.as_("admin") as admin:
        answer = await admin.post("/v1/projections/users/verify", json=body)
    assert answer.status_code == 422
    assert answer.json()["errors"] == [{"pointer": pointer, "detail": detail}]


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("token", ["writer", "auditor", "reader"])
async def test_only_administrators_may_send_commands_to_projections(
    directory: Directory, command: str, token: str
) -> None:
    async with directory.as_(token) as client:
        answer = await client.post(f"/v1/projections/users/{command}")
    assert (answer.status_code, answer.json()["type"]) == (403, "/problems/forbidden")


@pytest.mark.parametrize(
    "command", [*COMMANDS, "rollback", "parked/retry", f"parked/{STREAM}/retry"]
)
async def test_an_unknown_projection_is_not_found(directory: Directory, command: str) -> None:
    async with directory.as_("admin") as admin:
        answer = await admin.post(
            f"/v1/projections/nothing/{command}", json={"to": 1} if command == "rollback" else {}
        )
    assert (answer.status_code, answer.json()["type"]) == (404, "/problems/not-found")


async def test_without_a_former_generation_a_rollback_is_not_found(directory: Directory) -> None:
    async with directory.as_("admin") as admin:
        answer = await admin.post("/v1/projections/users/rollback", json={"to": 2})
    assert answer.status_code == 404
    assert answer.json()["detail"] == "No former generation of it is kept."


async def test_a_projection_is_paused_and_resumed(directory: Directory) -> None:
    async with directory.as_("admin") as admin:
        paused = await admin.post("/v1/projections/users/pause", json={"reason": "a look"})
        resumed = await admin.post("/v1/projections/users/resume")
    assert paused.json() == {"name": "users", "paused": True}
    assert resumed.json() == {"name": "users", "paused": False}


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"version": 1}, "#/reason"),
        ({"version": 1, "reason": ""}, "#/reason"),
        ({"version": 1, "reason": "x" * 501}, "#/reason"),
        ({"reason": "a"}, "#/version"),
        ({"reason": "a", "version": 0}, "#/version"),
        ({"reason": "a", "version": "1"}, "#/version"),
        ({"version": 1, "reason": "a", "more": 1}, "#/more"),
    ],
)
async def test_a_skip_needs_a_version_and_a_reason(
    directory: Directory, body: dict[str, object], pointer: str
) -> None:
    async with directory.as_("admin") as admin:
        path = f"/v1/projections/users/parked/{STREAM}/skip"
        answer = await admin.post(path, json=body)
    assert answer.status_code == 422
    assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]


@pytest.mark.parametrize("stream", [STREAM, str(UUID(int=7)), "no-id"])
async def test_a_stream_that_is_not_parked_is_not_found(directory: Directory, stream: str) -> None:
    async with directory.as_("admin") as admin:
        for command, body in BODIES.items():
            path = f"/v1/projections/users/parked/{stream}/{command}"
            answer = await admin.post(path, json=body)
            assert answer.status_code == 404, answer.text


async def test_the_list_of_parked_streams_refuses_other_cursors(admin: AsyncClient) -> None:
    path = "/v1/projections/users/parked"
    assert (await admin.get(path)).json()["items"] == []
    answer = await admin.get(path, params={"cursor": "x"})
    assert answer.status_code == 422


async def test_what_is_stored_of_an_unknown_projection_can_be_dropped_once(
    directory: Directory,
) -> None:
    directory.stored_projections.stored.add("left-over")
    async with directory.as_("admin") as admin:
        dropped = await admin.delete("/v1/projections/left-over")
        again = await admin.delete("/v1/projections/left-over")
    assert (dropped.status_code, dropped.content) == (204, b"")
    assert dropped.headers["Rollbook-Position"] == "0"
    assert again.status_code == 404
    assert await directory.stored_projections.names() == ["headcount", "users"]


@pytest.mark.parametrize("name", ["users", "other"])
async def test_a_projection_that_a_release_has_is_not_dropped(
    directory: Directory, name: str
) -> None:
    directory.stored_projections.stored.add("other")
    directory.stored_projections.led.add("other")
    async with directory.as_("admin") as admin:
        refused = await admin.delete(f"/v1/projections/{name}")
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["pointer"] == "name"
    assert "release" in refused.json()["errors"][0]["detail"]
    assert name in await directory.stored_projections.names()


async def test_only_admins_drop_projections(directory: Directory) -> None:
    directory.stored_projections.stored.add("left-over")
    async with directory.as_("writer") as writer:
        assert (await writer.delete("/v1/projections/left-over")).status_code == 403
    assert "left-over" in await directory.stored_projections.names()


async def test_while_others_use_its_tables_the_answer_is_to_try_again(directory: Directory) -> None:
    directory.stored_projections.stored.add("left-over")
    directory.stored_projections.read.add("left-over")
    async with directory.as_("admin") as admin:
        busy = await admin.delete("/v1/projections/left-over")
        directory.stored_projections.read.clear()
        dropped = await admin.delete("/v1/projections/left-over")
    assert (busy.status_code, busy.json()["type"]) == (503, "/problems/unavailable")
    assert "Other sessions use the tables" in busy.json()["detail"]
    assert "Retry-After" in busy.headers
    assert dropped.status_code == 204
