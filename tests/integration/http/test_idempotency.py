"""A command with an Idempotency-Key is carried out once, however often it is sent."""

import asyncio
from typing import Any, Final

import pytest
from httpx2 import AsyncClient, Response

from application.projector.admin import ProjectionAdmin
from tests.support.http.directory import ADA, Directory, registered

PAUSE: Final = "/v1/projections/users/pause"


async def register(client: AsyncClient, key: str, **fields: str) -> Response:
    return await client.post("/v1/users", json={**ADA, **fields}, headers={"Idempotency-Key": key})


async def test_a_repeat_gets_the_first_answer(directory: Directory, admin: AsyncClient) -> None:
    first = await register(admin, "k")
    await admin.patch(first.headers["Location"], json={"name": "Ada King"})
    again = await register(admin, "k")
    assert "Idempotency-Replayed" not in first.headers
    assert again.headers["Idempotency-Replayed"] == "true"
    assert (again.status_code, again.content) == (201, first.content)
    for name in ("Location", "ETag", "Rollbook-Position"):
        assert again.headers[name] == first.headers[name]
    assert await directory.log.head() == 2


async def test_a_repeated_deletion_gets_the_first_answer(admin: AsyncClient) -> None:
    user = await registered(admin)
    headers = {"Idempotency-Key": "k"}
    await admin.delete(f"/v1/users/{user['id']}", headers=headers)
    again = await admin.delete(f"/v1/users/{user['id']}", headers=headers)
    assert again.status_code == 204
    assert again.headers["Idempotency-Replayed"] == "true"


async def test_a_repeat_of_a_refused_command_is_decided_again(admin: AsyncClient) -> None:
    user = await registered(admin)
    assert (await register(admin, "k")).status_code == 409
    await admin.delete(f"/v1/users/{user['id']}")
    assert (await register(admin, "k")).status_code == 201


async def test_the_same_key_with_another_body_or_route_is_a_mismatch(admin: AsyncClient) -> None:
    user = (await register(admin, "k")).json()
    headers = {"Idempotency-Key": "k"}
    for answer in (
        await register(admin, "k", name="Ada King"),
        await admin.post(f"/v1/users/{user['id']}/suspend", headers=headers),
        await admin.delete(f"/v1/users/{user['id']}", headers=headers),
    ):
        assert answer.status_code == 422
        assert answer.json()["type"] == "/problems/idempotency-mismatch"


async def test_a_key_belongs_to_its_actor(admin: AsyncClient, writer: AsyncClient) -> None:
    assert (await register(admin, "k")).status_code == 201
    assert (await register(writer, "k", email="other@example.org")).status_code == 201


async def test_a_key_is_the_same_with_and_without_quotes(admin: AsyncClient) -> None:
    await register(admin, 'a"b\\c')
    assert (await register(admin, '"a\\"b\\\\c"')).headers["Idempotency-Replayed"] == "true"


async def test_concurrent_repeats_make_one_user(directory: Directory, admin: AsyncClient) -> None:
    answers = await asyncio.gather(*(register(admin, "k") for _ in range(20)))
    assert {answer.content for answer in answers} == {answers[0].content}
    assert await directory.log.head() == 1


@pytest.mark.parametrize("key", ["", '""', "two words", '"two words"', "x" * 256, "ü"])
async def test_a_key_must_be_visible_ascii(admin: AsyncClient, key: str) -> None:
    answer = await admin.post("/v1/users", json=ADA, headers={b"Idempotency-Key": key.encode()})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == "Idempotency-Key"


async def test_two_keys_are_refused(admin: AsyncClient) -> None:
    twice = [("Idempotency-Key", "a"), ("Idempotency-Key", "b")]
    answer = await admin.post("/v1/users", json=ADA, headers=twice)
    assert answer.status_code == 422


async def test_a_repeat_of_a_command_that_still_runs_is_a_conflict_after_a_while(
    directory: Directory, admin: AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    running, go_on = asyncio.Event(), asyncio.Event()

    async def pause(self: ProjectionAdmin, *_: Any) -> None:
        running.set()
        await go_on.wait()

    monkeypatch.setattr(ProjectionAdmin, "pause", pause)
    headers = {"Idempotency-Key": "k"}
    first = asyncio.create_task(admin.post(PAUSE, headers=headers))
    await running.wait()
    loop = asyncio.get_running_loop()
    began = loop.time()
    refused = await admin.post(PAUSE, headers=headers)
    assert 4.5 < loop.time() - began < 7
    assert (refused.status_code, refused.json()["type"]) == (409, "/problems/conflict")
    assert "Retry-After" in refused.headers
    waiting = asyncio.create_task(admin.post(PAUSE, headers=headers))
    await asyncio.sleep(0.2)
    go_on.set()
    assert (await first).status_code == 200
    assert (await waiting).headers["Idempotency-Replayed"] == "true"
