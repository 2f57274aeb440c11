"""A sign-in link, and the end of a session, with an Idempotency-Key: done once, whatever happens."""

from collections.abc import AsyncGenerator
from typing import Any, Final

import pytest
from httpx2 import AsyncClient, Response

from interfaces.http.app import OPERATIONS
from tests.support.http.in_process import ADMIN_TOKEN, in_process
from tests.support.views.directory import execute

# Each command, with a body that succeeds.
SESSION_COMMANDS: Final[dict[str, tuple[str, Any]]] = {
    "create_signin_link": ("/auth/links", {"name": "ada"}),
    "end_session": ("/v1/sessions/{session}", {}),
}
METHODS: Final = {operation.name: operation.method for operation in OPERATIONS}
# As a crash leaves it that came after the command and before its receipt, a while ago.
INTERRUPTED: Final = """
UPDATE receipts SET status = 0, answer = NULL, recorded_at = now() - interval '21 seconds'
WHERE key LIKE 'k-%'"""
LINKS: Final = "SELECT count(*) FROM signin_links"


class Commands:
    """Sends each command; there is one session."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client
        self._session = ""

    async def prepare(self) -> None:
        await self._client.post("/auth/signin", json={"token": ADMIN_TOKEN})
        self._session = (await self._client.get("/v1/sessions")).json()["items"][0]["id"]

    async def send(self, name: str) -> Response:
        path, body = SESSION_COMMANDS[name]
        return await self._client.request(
            METHODS[name],
            path.format(session=self._session),
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
    for name in SESSION_COMMANDS:
        first, again = await commands.send(name), await commands.send(name)
        assert first.is_success, (name, first.text)
        assert again.headers["Idempotency-Replayed"] == "true"
        assert again.status_code == first.status_code
        if name == "create_signin_link":
            assert first.json()["url"] is not None
            assert again.json() == {**first.json(), "url": None}
    assert await execute(database_url, LINKS) == [(1,)]
    kept = await execute(database_url, "SELECT answer::text FROM receipts")
    assert not any("#signin=" in (answer or "") for (answer,) in kept)


async def test_a_command_that_was_interrupted_after_it_was_done_is_completed_by_a_repeat(
    commands: Commands, database_url: str
) -> None:
    """The first link is lost, and nobody can use it: the repeat makes another one."""
    first = {name: await commands.send(name) for name in SESSION_COMMANDS}
    await execute(database_url, INTERRUPTED)
    for name in SESSION_COMMANDS:
        again = await commands.send(name)
        assert again.status_code == first[name].status_code, (name, again.text)
        assert "Idempotency-Replayed" not in again.headers
        last = await commands.send(name)
        assert last.headers["Idempotency-Replayed"] == "true"
