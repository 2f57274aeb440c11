"""A command to a webhook with an Idempotency-Key is carried out once, whatever happens."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any, Final

import pytest
from httpx2 import AsyncClient, Response

from interfaces.http.app import OPERATIONS
from tests.support.http.directory import ADA
from tests.support.http.in_process import in_process
from tests.support.views.directory import execute

ONE: Final = "/v1/webhooks/{webhook}"
# The port of no service: a test delivery fails at once.
TARGET: Final = "http://127.0.0.1:9/in"
# Each command to webhooks, with a body that succeeds.
WEBHOOK_COMMANDS: Final[dict[str, tuple[str, Any]]] = {
    "create_webhook": ("/v1/webhooks", {"url": TARGET}),
    "change_webhook": (ONE, {"types": ["user.erased"], "personal": "open"}),
    "delete_webhook": (ONE, {}),
    "test_webhook": (f"{ONE}/test", {}),
    "rotate_webhook_secret": (f"{ONE}/rotate-secret", {}),
    "pause_webhook": (f"{ONE}/pause", {"reason": "they move house"}),
    "resume_webhook": (f"{ONE}/resume", {}),
    "replay_webhook": (f"{ONE}/replay", {"after": 0}),
    "retry_webhook_parked": (f"{ONE}/parked/{{user}}/retry", {}),
}
METHODS: Final = {operation.name: operation.method for operation in OPERATIONS}
# As a crash leaves it that came after the command and before its receipt, a while ago.
INTERRUPTED: Final = """
UPDATE receipts SET status = 0, answer = NULL, recorded_at = now() - interval '21 seconds'
WHERE key LIKE 'k-%'"""
PARKED: Final = """
INSERT INTO webhook_parked (tenant, webhook, user_id, position, tries, error, parked_at)
VALUES ('main', %s, %s, 1, 3, 'http-500', now())"""
EVENTS: Final = "SELECT topic FROM stored_events WHERE kind = 'webhook' ORDER BY notification_id"


class Commands:
    """Sends each command to a webhook of its own, which has a parked user."""

    def __init__(self, client: AsyncClient, url: str) -> None:
        self._client = client
        self._url = url
        self._names = dict[str, dict[str, str]]()

    async def prepare(self) -> None:
        user = (await self._client.post("/v1/users", json=ADA)).json()["id"]
        for name in WEBHOOK_COMMANDS:
            webhook = (await self._client.post("/v1/webhooks", json={"url": TARGET})).json()["id"]
            await execute(self._url, PARKED, webhook, user)
            self._names[name] = {"webhook": webhook, "user": user}
            if name == "resume_webhook":
                await self._client.post(f"/v1/webhooks/{webhook}/pause")

    async def send(self, name: str) -> Response:
        path, body = WEBHOOK_COMMANDS[name]
        return await self._client.request(
            METHODS[name],
            path.format(**self._names[name]),
            json=body,
            headers={"Idempotency-Key": f"k-{name}"},
        )


@pytest.fixture
async def commands(database_url: str) -> AsyncGenerator[Commands]:
    """Webhooks without a worker: nothing is delivered."""
    async with in_process(database_url, frozenset({"api"}), allow_unsafe_targets=True) as client:
        commands = Commands(client, database_url)
        await commands.prepare()
        yield commands


async def test_a_repeat_gets_the_first_answer_without_its_secret(
    commands: Commands, database_url: str
) -> None:
    for name in WEBHOOK_COMMANDS:
        first = await commands.send(name)
        assert first.is_success, (name, first.text)
        events = await execute(database_url, EVENTS)
        again = await commands.send(name)
        assert "Idempotency-Replayed" not in first.headers
        assert again.headers["Idempotency-Replayed"] == "true"
        assert again.status_code == first.status_code
        for header in ("Location", "Rollbook-Position", "Content-Type", "ETag"):
            assert again.headers.get(header) == first.headers.get(header), (name, header)
        if name in ("create_webhook", "rotate_webhook_secret"):
            assert first.json()["secret"].startswith("whsec_")
            assert again.json() == {**first.json(), "secret": None}
        else:
            assert again.content == first.content
        assert await execute(database_url, EVENTS) == events


async def test_concurrent_repeats_are_carried_out_once(
    commands: Commands, database_url: str
) -> None:
    before = len(await execute(database_url, EVENTS))
    for name in WEBHOOK_COMMANDS:
        answers = await asyncio.gather(*(commands.send(name) for _ in range(4)))
        assert answers[0].is_success, name
        assert {answer.status_code for answer in answers} == {answers[0].status_code}
        replayed = [answer for answer in answers if "Idempotency-Replayed" in answer.headers]
        assert len(replayed) == 3, name
    # Created, two fields changed, deleted, rotated, paused, resumed, replayed.
    assert len(await execute(database_url, EVENTS)) - before == 8


async def test_a_command_that_was_interrupted_after_it_was_done_is_completed_by_a_repeat(
    commands: Commands, database_url: str
) -> None:
    """It records nothing twice, and shows the secret that the caller never got."""
    first = {name: await commands.send(name) for name in WEBHOOK_COMMANDS}
    events = await execute(database_url, EVENTS)
    await execute(database_url, "DELETE FROM webhook_parked")
    await execute(database_url, INTERRUPTED)
    for name in WEBHOOK_COMMANDS:
        again = await commands.send(name)
        assert again.status_code == first[name].status_code, (name, again.text)
        assert "Idempotency-Replayed" not in again.headers
        assert again.headers.get("Location") == first[name].headers.get("Location")
        if name in ("create_webhook", "rotate_webhook_secret"):
            assert again.json()["secret"] == first[name].json()["secret"]
        if name == "test_webhook":
            assert again.json()["message_id"] == first[name].json()["message_id"]
        last = await commands.send(name)
        assert last.headers["Idempotency-Replayed"] == "true"
    assert await execute(database_url, EVENTS) == events
