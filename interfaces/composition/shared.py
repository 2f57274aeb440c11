"""The resources that the roles of a process share, opened in order and drained in reverse."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

from msgspec import Struct
from uuid_utils.compat import uuid7

from application.doorbell import Doorbell
from application.erasure.coverage import Coverage
from infrastructure.cache.redis_cache import RedisCache
from infrastructure.database import Database
from infrastructure.exports.postgres import PostgresExports
from infrastructure.jobs.postgres import PostgresJobs
from infrastructure.keys import MasterKeys
from infrastructure.notifications.postgres import PostgresNotifications
from infrastructure.views.generations.erasures import PostgresErasedViews
from infrastructure.views.queries.directory import PostgresDirectory
from interfaces.composition.connections import pool_size
from interfaces.composition.doorbell import open_doorbell
from interfaces.composition.event_store import EventStore, open_event_store
from interfaces.composition.high_water import open_marks
from interfaces.roles import Roles
from interfaces.settings import Settings


class Parts(Struct, frozen=True, kw_only=True):
    """What every role may need, except a relay that runs alone."""

    settings: Settings
    database: Database
    masters: MasterKeys
    store: EventStore
    doorbell: Doorbell
    directory: PostgresDirectory
    cache: RedisCache | None
    notifications: PostgresNotifications
    jobs: PostgresJobs
    coverage: Coverage
    exports: PostgresExports
    stopping: asyncio.Event


async def open_parts(
    stack: AsyncExitStack, settings: Settings, roles: Roles, high_water_file: Path | None
) -> Parts:
    """Open them over a migrated database."""
    url = settings.database_url.get_secret_value()
    redis_url = settings.redis_url.get_secret_value() if settings.redis_url else None
    masters = MasterKeys.parse(settings.need("master_key"))
    marks = await open_marks(stack, redis_url, high_water_file)
    store = await stack.enter_async_context(
        open_event_store(url, masters, connections=pool_size(roles), marks=marks)
    )
    amqp_url = settings.amqp_url.get_secret_value() if settings.amqp_url else None
    doorbell = await open_doorbell(
        stack, url, redis_url, store.identity.id, amqp_url=amqp_url, roles=roles
    )
    cache = None
    if redis_url is not None:
        cache = await stack.enter_async_context(
            RedisCache.open(
                redis_url,
                store.identity.id,
                store.identity.epoch,
                ttl=settings.cache_ttl,
                mac=store.keys.mac,
            )
        )
    database = store.database
    exports = PostgresExports(database)
    return Parts(
        settings=settings,
        database=database,
        masters=masters,
        store=store,
        doorbell=doorbell,
        directory=PostgresDirectory(database, store.feed, doorbell),
        cache=cache,
        notifications=PostgresNotifications(database, uuid7),
        jobs=PostgresJobs(database, uuid7),
        coverage=Coverage(
            PostgresErasedViews(database),
            cache.slots if cache else None,
            doorbell,
            exports,
        ),
        exports=exports,
        stopping=asyncio.Event(),
    )
