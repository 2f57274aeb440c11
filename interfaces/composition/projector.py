"""Puts the projections together: who keeps the views, who rebuilds them, and who cares for them."""

from collections.abc import Coroutine
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from functools import partial
from typing import Any

from msgspec.structs import replace

from application.cache.followers import follow_users, run_stats_cache
from application.cache.refresh import RefreshedStats, RefreshedUsers, keep_replacing
from application.cache.warm_up import CacheWarming
from application.doorbell import Doorbell
from application.jobs.model import JobKind
from application.live.notifications import Notices
from application.log.shared_pages import SharedPages
from application.projector.admin import ProjectionAdmin
from application.projector.generations import keep_dropping, keep_following
from application.projector.projector import run_projector
from application.projector.rebuild import Rebuilding
from application.projector.rebuild_jobs import rebuild_jobs, rollback_jobs
from application.projector.view_store import Slot
from application.queries.documents import RenderedDocuments
from application.verification.jobs import Verifying, verify_jobs
from infrastructure.cache.redis_cache import RedisCache
from infrastructure.event_store.by_stream import PostgresEventsByStream
from infrastructure.event_store.changes import PostgresChangeFeed
from infrastructure.views.generations.builds import PostgresBuilds
from infrastructure.views.generations.expiry import PostgresRetired
from infrastructure.views.generations.switch import PostgresSwitch
from infrastructure.views.projector.ensure import ensure_views
from infrastructure.views.projector.followed_slots import (
    PostgresFollowedSlots,
    PostgresFormerGenerations,
)
from infrastructure.views.projector.store import PostgresViewStore
from infrastructure.views.queries.directory import PostgresDirectory
from infrastructure.views.queries.entries import PostgresViewEntries
from infrastructure.views.repair.admin import PostgresProjectionAdmin
from infrastructure.views.repair.parked import PostgresParkedStreams, PostgresRefreshQueue
from infrastructure.views.repair.repairs import PostgresRepairs
from infrastructure.views.repair.stored_views import PostgresStoredViews
from infrastructure.views.sql.reader import ViewReader
from interfaces.composition.event_store import EventStore
from projections.registry import PROJECTIONS
from projections.users import USERS

Work = list[Coroutine[Any, Any, None]]


async def open_projectors(
    stack: AsyncExitStack,
    url: str,
    store: EventStore,
    doorbell: Doorbell,
    directory: PostgresDirectory,
    cache: RedisCache | None,
) -> Work:
    """The projectors, and what keeps the cache behind their views, of all generations there are."""
    await ensure_views(url, PROJECTIONS)
    reader = await stack.enter_async_context(ViewReader.open(url, 1))
    slots = PostgresFollowedSlots(reader, PROJECTIONS)
    views, pages = PostgresViewStore(url), SharedPages(store.feed)

    def project(slot: Slot[Any]) -> Coroutine[Any, Any, None]:
        return run_projector(slot, views, pages, doorbell)

    work: Work = [keep_following("projector", slots, doorbell, project)]
    if cache is not None:
        entries = await stack.enter_async_context(PostgresViewEntries.open(url))
        changes, following = PostgresChangeFeed(store.reader), cache.following

        def copy(slot: Slot[Any]) -> Coroutine[Any, Any, None]:
            return follow_users(slot, following, changes, entries, doorbell)

        rendered = RenderedDocuments(directory)
        mended = PostgresRefreshQueue(reader, PROJECTIONS)
        work += [
            keep_following("cache", slots.only(USERS), doorbell, copy),
            run_stats_cache(cache.stats, rendered, doorbell, _now),
            keep_replacing(
                RefreshedUsers(mended, following, cache.erasing, entries),
                RefreshedStats(mended, cache.stats, rendered, _now),
            ),
        ]
    return work


async def open_rebuild_kinds(
    stack: AsyncExitStack,
    url: str,
    store: EventStore,
    notices: Notices,
    cache: RedisCache | None,
) -> list[JobKind]:
    """What a worker can do for projections."""
    reader = await stack.enter_async_context(ViewReader.open(url, 1))
    slots = PostgresFollowedSlots(reader, PROJECTIONS)
    succession = partial(PostgresSwitch[Any].open, url)
    ports = Rebuilding(
        builds=PostgresBuilds(url),
        histories=PostgresEventsByStream(store.reader, store.keys),
        mending=PostgresParkedStreams(url, PROJECTIONS),
        succession=succession,
    )
    verifying = Verifying(
        generations=slots,
        views=partial(PostgresStoredViews[Any].open, url),
        repairs=partial(PostgresRepairs.open, url),
        histories=ports.histories,
    )
    if cache is not None:
        entries = PostgresViewEntries(reader)
        warming = CacheWarming(slots, cache.hot, cache.following, entries)
        ports = replace(ports, warm=warming.warm)
    return [
        rebuild_jobs(PROJECTIONS, ports, notices),
        rollback_jobs(PROJECTIONS, succession, PostgresFormerGenerations(reader)),
        verify_jobs(PROJECTIONS, verifying),
    ]


def drop_generations(url: str) -> Coroutine[Any, Any, None]:
    """What keeps house after rebuilds."""
    return keep_dropping(PostgresRetired(url))


async def open_projection_admin(
    stack: AsyncExitStack, url: str, store: EventStore
) -> ProjectionAdmin:
    """What administrators do for projections."""
    reader = await stack.enter_async_context(ViewReader.open(url, 1))
    return ProjectionAdmin(
        [projection.name for projection in PROJECTIONS],
        PostgresProjectionAdmin(reader),
        PostgresParkedStreams(url, PROJECTIONS),
        PostgresEventsByStream(store.reader, store.keys),
        PostgresFormerGenerations(reader),
    )


def _now() -> datetime:
    return datetime.now(UTC)
