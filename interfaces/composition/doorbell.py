"""Opens the doorbell: Postgres rings for the log, Redis for everything across processes."""

from contextlib import AsyncExitStack
from uuid import UUID

from application.doorbell import Doorbell
from infrastructure.doorbell.broadcast import BroadcastDoorbell
from infrastructure.doorbell.memory import MemoryDoorbell
from infrastructure.doorbell.postgres import PostgresDoorbell


async def open_doorbell(
    stack: AsyncExitStack, database_url: str, redis_url: str | None, log_id: UUID
) -> Doorbell:
    """The one doorbell of a process on this log."""
    bells = MemoryDoorbell()
    # Postgres rings for the log in any case: the append function does so in its transaction.
    doorbell = await stack.enter_async_context(PostgresDoorbell.open(database_url, bells))
    if redis_url is None:
        return doorbell
    return await stack.enter_async_context(BroadcastDoorbell.open(redis_url, str(log_id), bells))
