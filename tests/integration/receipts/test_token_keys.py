"""A command to a token with an Idempotency-Key is carried out once, whatever happens."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any, Final

import pytest
from httpx2 import AsyncClient, Response

from interfaces.http.app import OPERATIONS
from tests.support.http.in_process import in_process
from tests.support.views.directory import execute

ONE: Final = "/v1/tokens/{token}"
CRM: Final = {"name": "crm", "preset": "reader"}
# Each command to tokens, with a body that succeeds.
TOKEN_COMMANDS: Final[dict[str, tuple[str, Any]]] = {
    "create_token": ("/v1/tokens", CRM),
    "rotate_token": (f"{ONE}/rotate", {"overlap_seconds": 60}),
    "revoke_token": (ONE, {}),
}
SECRET: Final = ("create_token", "rotate_token")
METHODS: Final = {operation.name: operation.method for operation in OPERATIONS}
# As a crash leaves it that came after the command and before its receipt, a while ago.
INTERRUPTED: Final = """
UPDATE receipts SET status = 0, answer = NULL, recorded_at = now() - interval '21 seconds'
WHERE key LIKE 'k-%'"""
EVENTS: Final = "SELECT topic FROM stored_events WHERE kind = 'token' ORDER BY notification_id"
CLAIMS: Final = "SELECT scope, value FROM claims ORDER BY value"


class Commands:
    """Sends each command to a token of its own."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client
        self._ids = dict[str, str]()

    async def prepare(self) -> None:
        for name in TOKEN_COMMANDS:
            self._ids[name] = (await self._client.post("/v1/tokens", json=CRM)).json()["id"]

    async def send(self, name: str) -> Response:
        path, body = TOKEN_COMMANDS[name]
        return await self._client.request(
            METHODS[name],
            path.format(token=self._ids[name]),
            json=body,
            headers={"Idempotency-Key": f"k-{name}"},
        )


@pytest.fixture
async def commands(database_url: str) -> AsyncGenerator[Commands]:
    async with in_process(database_url, frozenset({"api"})) as client:
        commands = Commands(client)
        await commands.prepare()
        yield commands


async def test_a_repeat_gets_the_first_answer_without_its_secret(
    commands: Commands, database_url: str
) -> None:
    for name in TOKEN_COMMANDS:
        first = await commands.send(name)
        assert first.is_success, (name, first.text)
        stored = await execute(database_url, EVENTS)
        again = await commands.send(name)
        assert "Idempotency-Replayed" not in first.headers
        assert again.headers["Idempotency-Replayed"] == "true"
        assert again.status_code == first.status_code
        for header in ("Location", "Rollbook-Position", "Content-Type"):
            assert again.headers.get(header) == first.headers.get(header), (name, header)
        if name in SECRET:
            assert first.json()["token"].startswith("rbk_")
            assert again.json() == {**first.json(), "token": None}
        else:
            assert again.content == first.content
        assert await execute(database_url, EVENTS) == stored
    kept = await execute(database_url, "SELECT answer::text FROM receipts")
    assert not any("rbk_" in (answer or "") for (answer,) in kept)


async def test_concurrent_repeats_are_carried_out_once(
    commands: Commands, database_url: str
) -> None:
    before = len(await execute(database_url, EVENTS))
    for name in TOKEN_COMMANDS:
        answers = await asyncio.gather(*(commands.send(name) for _ in range(4)))
        assert {answer.status_code for answer in answers} == {answers[0].status_code}, name
        shown = [answer for answer in answers if b'"token":"rbk_' in answer.content]
        assert len(shown) == (name in SECRET)
    assert len(await execute(database_url, EVENTS)) - before == len(TOKEN_COMMANDS)


async def test_a_command_that_was_interrupted_after_it_was_done_is_completed_by_a_repeat(
    commands: Commands, database_url: str
) -> None:
    """It records nothing twice and changes no secret. The secret itself is lost: it is nowhere."""
    first = {name: await commands.send(name) for name in TOKEN_COMMANDS}
    stored = [await execute(database_url, each) for each in (EVENTS, CLAIMS)]
    await execute(database_url, INTERRUPTED)
    for name in TOKEN_COMMANDS:
        again = await commands.send(name)
        assert again.status_code == first[name].status_code, (name, again.text)
        assert "Idempotency-Replayed" not in again.headers
        assert again.headers.get("Location") == first[name].headers.get("Location")
        if name in SECRET:
            assert again.json() == {**first[name].json(), "token": None}
        last = await commands.send(name)
        assert last.headers["Idempotency-Replayed"] == "true"
    assert [await execute(database_url, each) for each in (EVENTS, CLAIMS)] == stored
