"""Builds the relay: beside the other roles of a process, or alone and without any key."""

import asyncio
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, NoReturn

from uuid_utils.compat import uuid7

from application.doorbell import Doorbell
from application.live.relay_notifications import run_relay_notifications
from application.messaging.relay import run_relay
from infrastructure.bus.rabbitmq import RabbitMQBus
from infrastructure.database import Database
from infrastructure.event_store.feed import PostgresSealedFeed
from infrastructure.event_store.identity import LogIdentity
from infrastructure.event_store.watch import watch_log
from infrastructure.notifications.postgres import PostgresNotifications
from infrastructure.notifications.relay import PostgresRelayWatch
from infrastructure.relay.ledger import PostgresRelayLedger
from infrastructure.relay.records import PostgresRelayRecords
from interfaces.composition.connections import pool_size
from interfaces.composition.doorbell import open_doorbell
from interfaces.composition.event_store import open_sealed_log
from interfaces.composition.high_water import open_marks
from interfaces.roles import RELAY_ALONE


async def relay(
    database: Database, identity: LogIdentity, doorbell: Doorbell, amqp_url: str
) -> NoReturn:
    """Publish the events of this log; cancel it to stop."""
    await run_relay(
        RabbitMQBus(amqp_url),
        PostgresRelayLedger(database),
        PostgresSealedFeed(database, identity.breaks),
        doorbell,
        identity.id,
    )


def relay_watch(database: Database) -> Coroutine[Any, Any, NoReturn]:
    """The task that sends notifications about the relay, also while none runs."""
    notifications = PostgresNotifications(database, uuid7)
    status = PostgresRelayRecords(database).status
    return run_relay_notifications(PostgresRelayWatch(database, notifications, status))


async def relay_alone(
    database_url: str, redis_url: str | None, amqp_url: str, high_water_file: Path | None
) -> None:
    """Run a process that is only a relay; cancel it to stop.

    Raises `LogMoved` if the log was restored meanwhile.
    """
    async with AsyncExitStack() as stack:
        marks = await open_marks(stack, redis_url, high_water_file)
        log = await stack.enter_async_context(
            open_sealed_log(database_url, connections=pool_size(RELAY_ALONE), marks=marks)
        )
        doorbell = await open_doorbell(
            stack, database_url, redis_url, log.identity.id, roles=RELAY_ALONE
        )
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(watch_log(log.database, log.high_water))
            tasks.create_task(relay(log.database, log.identity, doorbell, amqp_url))
            tasks.create_task(relay_watch(log.database))
