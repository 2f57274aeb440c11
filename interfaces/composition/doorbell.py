"""Opens the doorbell: Postgres or RabbitMQ rings for the log, Redis for all else across processes."""

from contextlib import AsyncExitStack
from typing import Final
from uuid import UUID

from application.doorbell import LOG, Doorbell
from infrastructure.doorbell.broadcast import BroadcastDoorbell
from infrastructure.doorbell.memory import MemoryDoorbell
from infrastructure.doorbell.postgres import PostgresDoorbell
from interfaces.roles import Roles

_WOKEN_BY_RABBITMQ: Final[Roles] = frozenset({"projector", "worker"})


async def open_doorbell(
    stack: AsyncExitStack,
    database_url: str,
    redis_url: str | None,
    log_id: UUID,
    *,
    amqp_url: str | None = None,
    roles: Roles,
) -> Doorbell:
    """The one doorbell of a process on this log.

    With a broker, its newest event wakes projectors and workers, and only an API and a relay hear
    of events from Postgres.
    """
    bells = MemoryDoorbell()
    queue_url = amqp_url if roles & _WOKEN_BY_RABBITMQ else None
    events = queue_url is None or bool(roles - _WOKEN_BY_RABBITMQ)
    doorbell: Doorbell = await stack.enter_async_context(
        PostgresDoorbell.open(database_url, bells, events=events)
    )
    if queue_url is not None:
        # Only a process that has a queue loads the broker's client.
        from infrastructure.bus.newest_event import NewestEventQueue

        await stack.enter_async_context(NewestEventQueue.open(queue_url, lambda: bells.ring(LOG)))
    if redis_url is None:
        return doorbell
    return await stack.enter_async_context(BroadcastDoorbell.open(redis_url, str(log_id), bells))
