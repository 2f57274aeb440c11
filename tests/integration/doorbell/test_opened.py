"""Which processes hear of events from Postgres: those that RabbitMQ does not wake, the API and the relay."""

from contextlib import AsyncExitStack
from typing import Final
from uuid import UUID

import pytest

from application.doorbell import LOG
from interfaces.composition.doorbell import open_doorbell
from interfaces.roles import EVERY_ROLE, RELAY_ALONE, Roles
from tests.support.views.directory import execute

LOG_ID: Final = UUID(int=1)
# Nothing listens there, so no event comes from RabbitMQ.
BROKER: Final = "amqp://127.0.0.1:1/"


@pytest.mark.parametrize(
    ("roles", "amqp_url", "hears"),
    [
        (frozenset({"projector"}), None, True),
        (frozenset({"projector"}), BROKER, False),
        (frozenset({"worker"}), BROKER, False),
        (frozenset({"projector", "worker"}), BROKER, False),
        (frozenset({"api"}), BROKER, True),
        (frozenset({"api", "projector"}), BROKER, True),
        (RELAY_ALONE, BROKER, True),
        (EVERY_ROLE, BROKER, True),
    ],
)
async def test_only_processes_that_rabbitmq_wakes_do_not_listen_for_events(
    empty_database_url: str, roles: Roles, amqp_url: str | None, *, hears: bool
) -> None:
    async with AsyncExitStack() as stack:
        doorbell = await open_doorbell(
            stack, empty_database_url, None, LOG_ID, amqp_url=amqp_url, roles=roles
        )
        log = await stack.enter_async_context(doorbell.listen(LOG))
        other = await stack.enter_async_context(doorbell.listen("jobs"))
        await log.wait(0)
        await execute(empty_database_url, "SELECT pg_notify('rollbook', 'log')")
        await execute(empty_database_url, "SELECT pg_notify('rollbook_bells', 'jobs')")
        assert await other.wait(2)
        assert await log.wait(0.2) == hears
