"""The composition root: opens what a process needs in order, and drains it in reverse.

A process imports the modules of its own roles only: a projector loads no web framework.
"""

import asyncio
from collections.abc import AsyncGenerator, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from interfaces.roles import EVERY_ROLE, RELAY_ALONE, Roles
from interfaces.settings import Settings

if TYPE_CHECKING:
    from fastapi import FastAPI

    from interfaces.composition.shared import Parts


# A worker does too, so that people hear of a relay that does not run.
_WATCH_RELAY: Final[Roles] = frozenset({"relay", "worker"})


class Rollbook(Struct, frozen=True, kw_only=True):
    """A running process; `stopping` is set when it begins to drain, so that waiting requests end.

    `application` is None unless `api` is among its roles.
    """

    application: "FastAPI | None"
    stopping: asyncio.Event


@asynccontextmanager
async def open_rollbook(
    settings: Settings, roles: Roles = EVERY_ROLE, high_water_file: Path | None = None
) -> AsyncGenerator[Rollbook]:
    """Run these roles over a migrated database.

    The relay runs only if a broker is set. A role that fails and cannot recover ends the context
    with its error. `high_water_file` keeps the high-water mark besides Redis.
    """
    if roles == RELAY_ALONE:
        async with _running([_relay_alone(settings, high_water_file)]):
            yield Rollbook(application=None, stopping=asyncio.Event())
        return
    from infrastructure.event_store.watch import watch_log
    from interfaces.composition.shared import open_parts

    async with AsyncExitStack() as stack:
        parts = await open_parts(stack, settings, roles, high_water_file)
        work: list[Coroutine[Any, Any, None]] = [
            watch_log(parts.store.database, parts.store.high_water)
        ]
        application = None
        if "projector" in roles:
            work += await _projector(parts)
        if "relay" in roles and settings.amqp_url is not None:
            work.append(_relay(parts))
        if roles & _WATCH_RELAY and settings.amqp_url is not None:
            from interfaces.composition.relay import relay_watch

            work.append(relay_watch(parts.database))
        if "worker" in roles:
            from interfaces.composition.worker import open_worker

            work += open_worker(parts)
        if "api" in roles:
            from interfaces.composition.api import open_api

            application, tasks = await open_api(stack, parts)
            work += tasks
        async with _running(work):
            yield Rollbook(application=application, stopping=parts.stopping)


@asynccontextmanager
async def _running(work: Sequence[Coroutine[Any, Any, None]]) -> AsyncGenerator[None]:
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(each) for each in work]
        try:
            yield
        finally:
            for task in running:
                task.cancel()


async def _projector(parts: "Parts") -> list[Coroutine[Any, Any, None]]:
    from application.live.notifications import run_parked_notifications
    from interfaces.composition.projector import open_projectors

    projectors = await open_projectors(parts.store, parts.doorbell, parts.cache)
    return [*projectors, run_parked_notifications(parts.notifications, parts.doorbell)]


def _relay(parts: "Parts") -> Coroutine[Any, Any, None]:
    from interfaces.composition.relay import relay

    log, amqp_url = parts.store, parts.settings.need("amqp_url")
    return relay(log.database, log.identity, parts.doorbell, amqp_url)


def _relay_alone(settings: Settings, high_water_file: Path | None) -> Coroutine[Any, Any, None]:
    from interfaces.composition.relay import relay_alone

    redis_url = settings.redis_url.get_secret_value() if settings.redis_url else None
    database_url = settings.database_url.get_secret_value()
    amqp_url = settings.need("amqp_url")
    return relay_alone(database_url, redis_url, amqp_url, high_water_file)
