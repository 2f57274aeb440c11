"""Builds the projectors, the jobs that rebuild and verify views, and their administration."""

from collections.abc import Coroutine
from functools import partial
from typing import Any, Final

from application.cache.followers import follow_view
from application.doorbell import Doorbell
from application.jobs.model import JobKind, Jobs
from application.live.notifications import Notifier
from application.log.shared_pages import SharedPages
from application.projector.admin import ProjectionAdmin
from application.projector.automatic_rebuild import rebuild_outdated
from application.projector.automatic_retry import retry_unreadable
from application.projector.following import run_expiry, run_followers
from application.projector.projector import run_projector
from application.projector.rebuild import RebuildPorts
from application.projector.rebuild_jobs import rebuild_jobs, rollback_jobs
from application.projector.retry_jobs import retry_jobs
from application.projector.unused import UnusedProjections
from application.projector.view_store import Slot
from infrastructure.cache.redis_cache import RedisCache
from infrastructure.database import Database
from infrastructure.event_store.feed import PostgresEventsByStream
from infrastructure.views.generations.expiry import PostgresExpiredGenerations
from infrastructure.views.generations.serving import PostgresServingShapes
from infrastructure.views.generations.store import PostgresGenerations
from infrastructure.views.generations.stored import PostgresStoredProjections
from infrastructure.views.projector.admin import PostgresProjectionAdmin
from infrastructure.views.projector.ensure import ensure_views
from infrastructure.views.projector.followed_slots import (
    PostgresFollowedSlots,
    PostgresPreviousGenerations,
)
from infrastructure.views.projector.parked import PostgresParkedStreams
from infrastructure.views.projector.store import PostgresViewStore
from infrastructure.views.queries.entries import PostgresViewEntries
from infrastructure.views.sql.reader import ViewReader
from infrastructure.views.sql.shapes import Shapes
from interfaces.composition.event_store import EventStore
from projections.registry import PROJECTIONS

# Followers that are no projections, and have their checkpoints in the same table.
_OTHER_FOLLOWERS: Final = ("relay", "reactions")

Work = list[Coroutine[Any, Any, None]]


async def open_projectors(
    store: EventStore,
    doorbell: Doorbell,
    cache: RedisCache | None,
) -> Work:
    """The tasks of the projectors and of the cache followers, for all generations."""
    url, reader = store.database.url, ViewReader(store.database)
    await ensure_views(url, PROJECTIONS)
    slots = PostgresFollowedSlots(reader, Shapes(store.database), PROJECTIONS)
    views, pages = PostgresViewStore(store.database), SharedPages(store.feed)

    parked_streams = PostgresParkedStreams(store.database, PROJECTIONS)
    retry = partial(
        retry_unreadable,
        unreadable_streams=parked_streams,
        parked_streams=parked_streams,
        events_by_stream=PostgresEventsByStream(store.database, store.mapper),
    )

    def project(slot: Slot[Any]) -> Coroutine[Any, Any, None]:
        return run_projector(slot, views, pages, doorbell, retry)

    work: Work = [run_followers("projector", slots, doorbell, project)]
    if cache is not None:
        entries = PostgresViewEntries(reader)
        changes = store.feed

        def copy(slot: Slot[Any]) -> Coroutine[Any, Any, None]:
            return follow_view(slot, cache.slots, changes, entries, doorbell)

        work.append(run_followers("cache", slots, doorbell, copy))
    return work


def rebuild_kinds(store: EventStore, notifier: Notifier) -> list[JobKind]:
    """The job kinds for projections."""
    database, reader = store.database, ViewReader(store.database)
    generations = PostgresGenerations(database)
    parked_streams = PostgresParkedStreams(database, PROJECTIONS)
    ports = RebuildPorts(
        generations=generations,
        events_by_stream=PostgresEventsByStream(database, store.mapper),
        parked_streams=parked_streams,
        removed_skips=parked_streams,
    )
    return [
        *rebuild_jobs(PROJECTIONS, ports, notifier),
        rollback_jobs(PROJECTIONS, generations, PostgresPreviousGenerations(reader)),
        retry_jobs(PROJECTIONS, parked_streams, ports.events_by_stream),
    ]


def automatic_rebuilds(database: Database, jobs: Jobs) -> Coroutine[Any, Any, None]:
    """The task that submits the rebuilds that this release needs; it ends by itself."""
    return rebuild_outdated(PROJECTIONS, PostgresServingShapes(database), jobs)


def drop_generations(database: Database) -> Coroutine[Any, Any, None]:
    """The task that drops generations after their expiry."""
    return run_expiry(PostgresExpiredGenerations(database))


def unused_projections(database: Database) -> UnusedProjections:
    """What is stored of projections that this release does not have."""
    names = [projection.name for projection in PROJECTIONS]
    return UnusedProjections([*names, *_OTHER_FOLLOWERS], PostgresStoredProjections(database))


def projection_admin(store: EventStore) -> ProjectionAdmin:
    """The operations of administrators on projections."""
    reader = ViewReader(store.database)
    parked_streams = PostgresParkedStreams(store.database, PROJECTIONS)
    return ProjectionAdmin(
        [projection.name for projection in PROJECTIONS],
        PostgresProjectionAdmin(reader),
        parked_streams,
        parked_streams,
        PostgresEventsByStream(store.database, store.mapper),
        PostgresPreviousGenerations(reader),
    )
