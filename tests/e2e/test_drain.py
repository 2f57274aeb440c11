"""A server that gets SIGTERM answers all received requests before it stops."""

import asyncio
import signal
from pathlib import Path

import httpx2
import pytest

from tests.support.http.agreement import all_events, disagreements
from tests.support.http.load import Load, client_of
from tests.support.servers.postgres import scaled
from tests.support.servers.postgres_backends import append_lock, waiting_for_lock
from tests.support.servers.prepared_data import prepared
from tests.support.servers.rollbook import RunningRollbook

REQUESTS = 20
CALLERS = 32


async def test_commands_in_progress_are_recorded_and_answered_before_the_server_stops(
    database_url: str, tmp_path: Path
) -> None:
    settings = {"ROLLBOOK_DATABASE_URL": database_url}
    with RunningRollbook(tmp_path / "data", **settings) as rollbook:
        async with client_of(rollbook.url, rollbook.token) as client:
            async with append_lock(database_url):
                commands = [asyncio.create_task(register(client, n)) for n in range(REQUESTS)]
                await waiting_for_lock(database_url)
                await asyncio.sleep(0.3)
                stopping = asyncio.create_task(asyncio.to_thread(rollbook.stop, signal.SIGTERM))
                await asyncio.sleep(0.5)
                assert not any(command.done() for command in commands)
            answers = await asyncio.gather(*commands)
            assert await stopping == 0
        assert {answer.status_code for answer in answers} == {201}
        rollbook.start()
        async with client_of(rollbook.url, rollbook.token) as client:
            events = (await client.get("/v1/events", params={"limit": 1000})).json()["items"]
    assert len(events) == REQUESTS
    assert {event["subject"] for event in events} == {answer.json()["id"] for answer in answers}


@pytest.mark.long
async def test_every_command_in_the_log_was_answered_before_the_exit(tmp_path: Path) -> None:
    with RunningRollbook(prepared(tmp_path / "data")) as rollbook:
        async with Load.on(rollbook.url, rollbook.token, give_up_rate=1.0) as load:
            for _ in range(scaled(1)):
                await load.start(CALLERS)
                await load.wait_for_accepted(10)
                await asyncio.sleep(0.3)
                assert await asyncio.to_thread(rollbook.stop, signal.SIGTERM) == 0
                await load.stop()
                await asyncio.to_thread(rollbook.start)
            events = await all_events(load.client)
            answered = {one.command.key for one in load.sent if one.accepted}
            assert {event["correlationid"] for event in events} == answered
            assert disagreements(events, load.sent) == []


async def register(client: httpx2.AsyncClient, number: int) -> httpx2.Response:
    body = {"name": "Ada", "email": f"user{number}@example.org"}
    return await client.post("/v1/users", json=body)
