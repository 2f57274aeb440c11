"""The resources that the roles of a process share, opened in order and drained in reverse."""

import asyncio
from contextlib import AsyncExitStack

from msgspec import Struct
from uuid_utils.compat import uuid7

from application.doorbell import Doorbell
from application.erasure.coverage import Coverage
from infrastructure.cache.redis_cache import RedisCache
from infrastructure.exports.postgres import PostgresExports
from infrastructure.jobs.postgres import PostgresJobs
from infrastructure.jobs.sessions import JobSessions
from infrastructure.keys import MasterKeys
from infrastructure.notifications.postgres import PostgresNotifications
from infrastructure.views.queries.directory import PostgresDirectory
from infrastructure.views.repair.erasures import PostgresErasedViews
from interfaces.composition.doorbell import open_doorbell
from interfaces.composition.event_store import EventStore, open_event_store
from interfaces.settings import Settings


class Parts(Struct, frozen=True, kw_only=True):
    """What every role may need, except a relay that runs alone."""

    settings: Settings
    database_url: str
    masters: MasterKeys
    store: EventStore
    doorbell: Doorbell
    directory: PostgresDirectory
    cache: RedisCache | None
    job_sessions: JobSessions
    notifications: PostgresNotifications
    jobs: PostgresJobs
    coverage: Coverage
    exports: PostgresExports
    stopping: asyncio.Event


async def open_parts(stack: AsyncExitStack, settings: Settings) -> Parts:
    """Open them over a migrated database."""
    url = settings.database_url.get_secret_value()
    redis_url = settings.redis_url.get_secret_value() if settings.redis_url else None
    masters = MasterKeys.parse(settings.need("master_key"))
    store = await stack.enter_async_context(open_event_store(url, masters))
    doorbell = await open_doorbell(stack, url, redis_url, store.identity.id)
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
    exports = await stack.enter_async_context(PostgresExports.open(url, store.keys))
    job_sessions = await stack.enter_async_context(JobSessions.open(url))
    return Parts(
        settings=settings,
        database_url=url,
        masters=masters,
        store=store,
        doorbell=doorbell,
        directory=await stack.enter_async_context(
            PostgresDirectory.open(url, store.feed, doorbell)
        ),
        cache=cache,
        job_sessions=job_sessions,
        notifications=await stack.enter_async_context(PostgresNotifications.open(url, uuid7)),
        jobs=PostgresJobs(job_sessions, uuid7),
        coverage=Coverage(
            await stack.enter_async_context(PostgresErasedViews.open(url)),
            cache.erasing if cache else None,
            doorbell,
            exports,
        ),
        exports=exports,
        stopping=asyncio.Event(),
    )
