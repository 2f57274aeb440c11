"""Notifications, metrics and readiness say what the relay needs; several processes notify once."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
from msgspec.structs import replace
from pydantic import SecretStr
from uuid_utils.compat import uuid7

from application.messaging.rejected import RelayStatus
from infrastructure.database import Database
from infrastructure.notifications.postgres import PostgresNotifications
from infrastructure.notifications.relay import PostgresRelayWatch
from interfaces.roles import Roles
from tests.integration.telemetry.test_metrics_of_servers import scrape
from tests.support.http.in_process import in_process
from tests.support.views.directory import execute

WELL = RelayStatus(
    position=0, head=0, lag=0, lag_seconds=0, rejected=0, last_rejected_at=None, state="live"
)
SET_ASIDE = """
INSERT INTO relay_rejected (tenant, position, event_id, topic, stream, error)
VALUES ('main', 17, gen_random_uuid(), 'user.renamed', gen_random_uuid(), 'Rejected')"""


class Watched:
    """A relay whose status the test sets, and processes that look at it."""

    def __init__(self) -> None:
        self.now = WELL
        self.processes: list[PostgresRelayWatch] = []
        self.notifications: PostgresNotifications

    async def status(self) -> RelayStatus:
        return self.now

    async def look(self) -> None:
        await asyncio.gather(*(each.notify_relay() for each in self.processes))

    async def sent(self) -> list[tuple[str, str]]:
        found = await self.notifications.after(0, 100)
        return [(each.severity, each.message) for _, each in found]


@pytest.fixture
async def watched(database_url: str) -> AsyncIterator[Watched]:
    watched = Watched()
    async with AsyncExitStack() as stack:
        for _ in range(4):
            database = await stack.enter_async_context(Database.open(database_url))
            watched.notifications = PostgresNotifications(database, uuid7)
            watched.processes.append(
                PostgresRelayWatch(database, watched.notifications, watched.status)
            )
        yield watched


async def test_of_several_processes_one_notifies_of_each_change(watched: Watched) -> None:
    await watched.look()
    assert await watched.sent() == []
    watched.now = replace(WELL, rejected=1, lag_seconds=60.0, state="catching-up")
    for _ in range(3):
        await watched.look()
    watched.now = WELL
    for _ in range(3):
        await watched.look()
    assert await watched.sent() == [
        ("warning", "relay: events reach RabbitMQ late"),
        ("warning", "relay: 1 event was set aside"),
        ("success", "relay: events reach RabbitMQ in time again"),
        ("success", "relay: no event is set aside any more"),
    ]


async def test_a_fall_that_nobody_saw_is_told_by_the_next_process(watched: Watched) -> None:
    watched.now = replace(WELL, rejected=20)
    await watched.processes[0].notify_relay()
    watched.now = replace(WELL, rejected=2)
    await watched.processes[1].notify_relay()
    watched.now = replace(WELL, rejected=20)
    await watched.processes[2].notify_relay()
    assert [message for _, message in await watched.sent()] == [
        "relay: 20 events were set aside",
        "relay: 20 events were set aside",
    ]


async def test_readiness_and_metrics_show_what_was_set_aside(
    database_url: str, amqp_url: str
) -> None:
    roles: Roles = frozenset({"api", "relay"})
    async with in_process(database_url, roles, amqp_url=SecretStr(amqp_url)) as client:
        await client.post("/v1/users", json={"name": "Ada", "email": "ada@example.org"})
        async with asyncio.timeout(20):
            while (found := await scrape(client)).get(("rollbook_relay_state", "live")) != 1:
                await asyncio.sleep(0.05)
            while found["rollbook_relay_lag",]:
                found = await scrape(client)
        assert found["rollbook_relay_position",] == found["rollbook_log_head",] > 0
        assert found["rollbook_relay_lag_seconds",] == found["rollbook_relay_rejected",] == 0
        assert (await client.get("/health/ready")).json()["checks"]["relay"]["state"] == "up"

        await execute(database_url, SET_ASIDE)
        found = await scrape(client)
        assert found["rollbook_relay_rejected",] == 1
        assert found["rollbook_up", "relay"] == 1
        answer = await client.get("/health/ready")
        check = answer.json()["checks"]["relay"]
        assert (answer.status_code, check["state"]) == (200, "degraded")
        assert "were set aside" in check["detail"]
