"""An administrative command with an Idempotency-Key is carried out once, whatever happens."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any, Final
from uuid import UUID

import pytest
from httpx2 import AsyncClient, Response

from interfaces.http.app import OPERATIONS
from interfaces.roles import Roles
from tests.integration.receipts.test_session_keys import SESSION_COMMANDS
from tests.integration.receipts.test_token_keys import TOKEN_COMMANDS
from tests.integration.receipts.test_webhook_keys import WEBHOOK_COMMANDS
from tests.support.http.directory import ADA
from tests.support.http.in_process import in_process
from tests.support.log.long_queues import make_known, queue_events
from tests.support.reactions.greet import park
from tests.support.views.directory import execute

ALL_ROLES: Final[Roles] = frozenset({"api", "projector", "worker"})
PROJECTION: Final = "/v1/projections/users"
# Each administrative command, with a body that succeeds.
COMMANDS: Final[dict[str, tuple[str, Any]]] = {
    "rebuild_projection": (f"{PROJECTION}/rebuild", {}),
    "verify_projection": (f"{PROJECTION}/verify", {"repair": False}),
    "roll_back_projection": (f"{PROJECTION}/rollback", {"to": 1}),
    "retry_parked": (f"{PROJECTION}/parked/{{stream}}/retry", {}),
    "skip_parked": (f"{PROJECTION}/parked/{{stream}}/skip", {"version": 2, "reason": "a typo"}),
    "unskip_parked": (f"{PROJECTION}/parked/{{stream}}/unskip", {"version": 2}),
    "retry_all_parked": (f"{PROJECTION}/parked/retry", {}),
    "pause_projection": (f"{PROJECTION}/pause", {"reason": "a look"}),
    "resume_projection": (f"{PROJECTION}/resume", {}),
    "drop_projection": ("/v1/projections/gone", {}),
    "enable_reaction": ("/v1/reactions/greet/enable", {}),
    "disable_reaction": ("/v1/reactions/greet/disable", {}),
    "retry_parked_user": ("/v1/reactions/greet/parked/{stream}/retry", {}),
    "skip_parked_user": ("/v1/reactions/greet/parked/{stream}/skip", {"reason": "left"}),
    "replay_rejected": ("/v1/relay/rejected/replay", {}),
    "cancel_job": ("/v1/jobs/{job}/cancel", {}),
    "create_export": ("/v1/exports", {"what": "audit", "format": "ndjson"}),
    "create_stream_ticket": ("/v1/stream/tickets", {}),
}
# As a crash leaves it that came after the command and before its receipt, a while ago.
INTERRUPTED: Final = """
UPDATE receipts SET status = 0, answer = NULL, recorded_at = now() - interval '21 seconds'
WHERE key = 'k'"""
# One of each kind: a job, a command to a parked stream, and one to a projection.
SHORT: Final = ("rebuild_projection", "skip_parked", "pause_projection")
METHODS: Final = {operation.name: operation.method for operation in OPERATIONS}
JOBS: Final = [
    "rebuild_projection",
    "verify_projection",
    "roll_back_projection",
    "retry_all_parked",
    "replay_rejected",
    "create_export",
]


def test_every_administrative_command_is_in_these_tests() -> None:
    kept = {operation.name for operation in OPERATIONS if operation.has_kept_answer}
    commands = {operation.name for operation in OPERATIONS if operation.body is not None}
    of_users = {
        operation.name for operation in OPERATIONS if operation.path.startswith("/v1/users")
    }
    without_key = {"sign_in", "sign_out"}  # their answer is a cookie, which nobody may repeat
    others = (WEBHOOK_COMMANDS, SESSION_COMMANDS, TOKEN_COMMANDS)
    with_keys = COMMANDS.keys() | {name for each in others for name in each}
    assert kept == with_keys == commands - of_users - without_key


@pytest.fixture
async def client(database_url: str) -> AsyncGenerator[AsyncClient]:
    """A directory on Postgres without workers: jobs stay queued."""
    async with in_process(database_url) as client:
        yield client


class Commands:
    """Sends the commands for a parked user and a queued job."""

    def __init__(self, client: AsyncClient, url: str) -> None:
        self._client = client
        self._url = url
        self._names: dict[str, str] = {}

    async def prepare(self, name: str) -> None:
        """The state in which a command succeeds."""
        user = (await self._client.post("/v1/users", json=ADA)).json()["id"]
        await queue_events(self._url, user, 0)
        async with asyncio.timeout(20):
            while not (await self._client.get(f"{PROJECTION}/parked")).json()["items"]:
                await asyncio.sleep(0.05)
        job = (await self._client.post(f"{PROJECTION}/rebuild")).json()["id"]
        await self._client.post(f"/v1/jobs/{job}/cancel")
        job = (await self._client.post("/v1/projections/headcount/rebuild")).json()["id"]
        self._names = {"stream": user, "job": job}
        await park(self._url, user)
        if name == "drop_projection":
            gone = "INSERT INTO projections (tenant, name, generation) VALUES ('main', 'gone', 1)"
            await execute(self._url, gone)
        if name == "unskip_parked":
            await self.send("skip_parked", "before")

    async def send(self, name: str, key: str, **changes: Any) -> Response:
        path, body = COMMANDS[name]
        return await self._client.request(
            METHODS[name],
            path.format(**self._names),
            json={**body, **changes},
            headers={"Idempotency-Key": key},
        )


@pytest.fixture
def commands(client: AsyncClient, database_url: str) -> Commands:
    return Commands(client, database_url)


@pytest.mark.parametrize("name", COMMANDS)
async def test_a_repeat_gets_the_first_answer(
    client: AsyncClient, commands: Commands, name: str
) -> None:
    await commands.prepare(name)
    first = await commands.send(name, "k")
    assert first.is_success, first.text
    again = await commands.send(name, "k")
    assert "Idempotency-Replayed" not in first.headers
    assert again.headers["Idempotency-Replayed"] == "true"
    assert again.status_code == first.status_code
    for header in ("Location", "Rollbook-Position", "Content-Type"):
        assert again.headers.get(header) == first.headers.get(header), header
    if name == "create_stream_ticket":
        assert again.json() == {**first.json(), "ticket": None}
    else:
        assert again.content == first.content
    if name in JOBS:
        items = (await client.get("/v1/jobs?state=queued")).json()["items"]
        assert len(items) == 2, "the job of the preparation, and one of this command"
        if name != "create_export":
            # Another key gets the job that is unfinished.
            assert (await commands.send(name, "another")).json() == first.json()


@pytest.mark.parametrize(
    "name",
    [name if name in SHORT else pytest.param(name, marks=pytest.mark.long) for name in COMMANDS],
)
async def test_concurrent_repeats_are_carried_out_once(commands: Commands, name: str) -> None:
    await commands.prepare(name)
    answers = await asyncio.gather(*(commands.send(name, "k") for _ in range(4)))
    assert {answer.status_code for answer in answers} == {answers[0].status_code}
    assert answers[0].is_success
    replayed = [answer for answer in answers if "Idempotency-Replayed" in answer.headers]
    assert len(replayed) == 3
    assert len({answer.headers.get("Location") for answer in answers}) == 1


async def test_a_key_belongs_to_one_body_and_one_route(
    client: AsyncClient, commands: Commands
) -> None:
    await commands.prepare("skip_parked")
    assert (await commands.send("skip_parked", "k")).is_success
    registered = {"name": "Grace", "email": "grace@example.org"}
    headers = {"Idempotency-Key": "k"}
    user = {"Idempotency-Key": "of-a-user"}
    assert (await client.post("/v1/users", json=registered, headers=user)).status_code == 201
    for answer in (
        await commands.send("skip_parked", "k", reason="another"),
        await commands.send("rebuild_projection", "k"),
        await client.post("/v1/users", json=registered, headers=headers),
        await commands.send("rebuild_projection", "of-a-user"),
    ):
        assert (answer.status_code, answer.json()["type"]) == (
            422,
            "/problems/idempotency-mismatch",
        )


async def test_a_refused_command_leaves_its_key_free(commands: Commands) -> None:
    await commands.prepare("skip_parked")
    refused = await commands.send("skip_parked", "k", version=1)
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["pointer"] == "#/version"
    assert (await commands.send("skip_parked", "k")).is_success


@pytest.mark.parametrize("name", COMMANDS)
async def test_a_command_that_was_interrupted_after_it_was_done_is_completed_by_a_repeat(
    client: AsyncClient, commands: Commands, database_url: str, name: str
) -> None:
    """As after a crash between the command and its receipt: a job is found again by its id."""
    await commands.prepare(name)
    first = await commands.send(name, "k")
    await execute(database_url, INTERRUPTED)
    again = await commands.send(name, "k")
    assert again.status_code == first.status_code, again.text
    assert "Idempotency-Replayed" not in again.headers
    assert again.headers.get("Location") == first.headers.get("Location")
    if name in JOBS:
        assert len((await client.get("/v1/jobs?state=queued")).json()["items"]) == 2
    last = await commands.send(name, "k")
    assert last.headers["Idempotency-Replayed"] == "true"
    skipped = await execute(database_url, "SELECT count(*) FROM skipped")
    assert skipped == [(int(name in ("skip_parked", "unskip_parked")),)]


async def test_an_interrupted_retry_that_was_done_succeeds(
    client: AsyncClient, commands: Commands, database_url: str
) -> None:
    """Nothing is parked any more, and without its key it would not be found."""
    await commands.prepare("retry_parked")
    await make_known(database_url)
    first = await commands.send("retry_parked", "k")
    assert (first.json()["applied"], first.json()["parked"]) == (1, None)
    await execute(database_url, INTERRUPTED)
    again = await commands.send("retry_parked", "k")
    assert (again.status_code, again.json()["applied"], again.json()["parked"]) == (200, 0, None)
    assert (await commands.send("retry_parked", "another")).status_code == 404


async def test_a_rollback_names_the_generation_that_is_kept(
    client: AsyncClient, database_url: str
) -> None:
    async def post(body: Any) -> Response:
        return await client.post(f"{PROJECTION}/rollback", json=body)

    assert (await post({"to": 2})).status_code == 404
    assert (await post({})).json()["errors"][0]["pointer"] == "#/to"
    async with in_process(database_url, ALL_ROLES) as other:
        job = (await other.post(f"{PROJECTION}/rebuild")).json()["id"]
        async with asyncio.timeout(60):
            while (await other.get(f"/v1/jobs/{job}")).json()["state"] != "succeeded":
                await asyncio.sleep(0.1)
    [users] = [
        each
        for each in (await client.get("/v1/projections")).json()["items"]
        if each["name"] == "users"
    ]
    assert (users["generation"], users["former"]) == (2, 1)
    refused = await post({"to": 3})
    assert refused.status_code == 422
    assert refused.json()["errors"] == [
        {
            "pointer": "#/to",
            "detail": "Must be 1, the former generation that is kept; 2 serves.",
        }
    ]
    assert UUID((await post({"to": 1})).json()["id"])
