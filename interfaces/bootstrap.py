"""The composition root: opens what a process needs in order, and drains it in reverse."""

import asyncio
from collections.abc import AsyncGenerator, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any, Final

from fastapi import FastAPI
from msgspec import Struct
from uuid_utils.compat import uuid7

from application.audit_search import Audit
from application.cached_documents import CachedDocuments
from application.clean_up import clean_up_jobs
from application.documents import Documents, RenderedDocuments
from application.doorbell import Doorbell
from application.erasure_coverage import Coverage
from application.erasures import ErasureService, erasure_jobs
from application.job_worker import JobWorker
from application.jobs import JobKind
from application.key_rotation import key_rotation
from application.notifications import NoticeBoard, keep_telling_parked
from application.purge import (
    EXPORTS_ARE_KEPT,
    JOBS_ARE_KEPT,
    RECEIPTS_ARE_KEPT,
    purge_jobs,
)
from application.tail import Tail
from application.users import UserService
from infrastructure.cache.redis import RedisCache
from infrastructure.event_store.identity import watch_log
from infrastructure.exports.postgres import PostgresExports
from infrastructure.housekeeping.postgres import PostgresHousekeeping
from infrastructure.identity.admin_token import AdminTokenIdentity
from infrastructure.identity.tickets import PostgresTickets
from infrastructure.jobs.ledger import PostgresJobLedger
from infrastructure.jobs.postgres import PostgresJobs
from infrastructure.jobs.schedule import run_schedules
from infrastructure.jobs.sessions import JobSessions
from infrastructure.keys import MasterKeys, TokenBox
from infrastructure.keys.holders import PostgresKeyHolders
from infrastructure.keys.store import key_stores
from infrastructure.notifications.postgres import PostgresNotifications
from infrastructure.purge.postgres import OldExports, OldJobs, OldReceipts, OldTickets
from infrastructure.views.directory import PostgresDirectory
from infrastructure.views.ensure import ensure_views
from infrastructure.views.erasures import PostgresErasedViews
from interfaces.doorbell import open_doorbell
from interfaces.event_store import EventStore, open_event_store
from interfaces.exporting import export_rows, export_service, open_export_kind
from interfaces.http.app import create_app
from interfaces.http.services import Services
from interfaces.measuring import telemetry_of
from interfaces.projecting import (
    drop_generations,
    open_projection_care,
    open_projectors,
    open_rebuild_kinds,
)
from interfaces.relaying import relay, relay_alone
from interfaces.roles import EVERY_ROLE, RELAY_ALONE, Roles
from interfaces.settings import Settings
from interfaces.stream.websocket import EventStream
from projections.registry import PROJECTIONS

_CURSOR_KEY: Final = b"\x00cursors\x00"


class Rollbook(Struct, frozen=True, kw_only=True):
    """A running process; `stopping` is set when it begins to drain, so that nobody waits on.

    There is an application only where `api` is among its roles.
    """

    application: FastAPI | None
    stopping: asyncio.Event


class _Parts(Struct, frozen=True, kw_only=True):
    """What the roles of a process share."""

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


@asynccontextmanager
async def open_rollbook(settings: Settings, roles: Roles = EVERY_ROLE) -> AsyncGenerator[Rollbook]:
    """These roles, running over a migrated database.

    The relay runs where there is a broker to relay to. A role that fails beyond its own repair
    ends the context with its error.
    """
    if roles == RELAY_ALONE:
        work = [relay_alone(*_urls(settings), settings.need("amqp_url"))]
        async with _running(work):
            yield Rollbook(application=None, stopping=asyncio.Event())
        return
    async with AsyncExitStack() as stack:
        parts = await _open_parts(stack, settings)
        work: list[Coroutine[Any, Any, None]] = [
            watch_log(parts.store.reader, parts.store.identity)
        ]
        application = None
        if "projector" in roles:
            work += await open_projectors(
                stack,
                parts.database_url,
                parts.store,
                parts.doorbell,
                parts.directory,
                parts.cache,
            )
            work.append(keep_telling_parked(parts.notifications, parts.doorbell))
        if "relay" in roles and settings.amqp_url is not None:
            log, amqp_url = parts.store, settings.need("amqp_url")
            work.append(
                relay(parts.database_url, log.reader, log.identity, parts.doorbell, amqp_url)
            )
        if "worker" in roles:
            kinds = await _job_kinds(stack, parts)
            work += [_work(kinds, parts), run_schedules(kinds, parts.jobs)]
            work.append(drop_generations(parts.database_url))
        if "api" in roles:
            application = await _api(stack, parts)
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


async def _open_parts(stack: AsyncExitStack, settings: Settings) -> _Parts:
    url, redis_url = _urls(settings)
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
    return _Parts(
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


async def _job_kinds(stack: AsyncExitStack, parts: _Parts) -> list[JobKind]:
    """What a worker can do."""
    url = parts.database_url
    return [
        purge_jobs(
            [
                OldReceipts(url, RECEIPTS_ARE_KEPT),
                OldTickets(url),
                OldExports(url, EXPORTS_ARE_KEPT),
                OldJobs(url, JOBS_ARE_KEPT),
            ]
        ),
        await open_export_kind(stack, url, parts.store, parts.doorbell, parts.exports),
        erasure_jobs(parts.coverage),
        clean_up_jobs(PostgresHousekeeping(url)),
        *await open_rebuild_kinds(stack, url, parts.store, parts.notifications, parts.cache),
        key_rotation(key_stores(url), PostgresKeyHolders(url), parts.masters),
    ]


async def _work(kinds: list[JobKind], parts: _Parts) -> None:
    async with PostgresJobLedger.open(parts.job_sessions) as ledger:
        await JobWorker(kinds, ledger).run(parts.doorbell)


async def _api(stack: AsyncExitStack, parts: _Parts) -> FastAPI:
    store, settings = parts.store, parts.settings
    await ensure_views(parts.database_url, PROJECTIONS)
    documents: Documents = RenderedDocuments(parts.directory)
    if parts.cache is not None:
        documents = await stack.enter_async_context(
            CachedDocuments.open(parts.cache, documents, parts.directory, parts.doorbell)
        )
    tail = Tail(store.feed, parts.doorbell, store.identity.id, parts.stopping)
    identity = AdminTokenIdentity(settings.need("admin_token"))
    tickets = await stack.enter_async_context(PostgresTickets.open(parts.database_url))
    commands = UserService(store.log, store.snapshots)
    readiness = {"postgres": lambda: _answers(store)}
    application = create_app(
        Services(
            commands=commands,
            erasures=ErasureService(commands, parts.coverage, parts.jobs),
            queries=parts.directory,
            audit=Audit(store.audit, store.log),
            user_events=store.audit,
            documents=documents,
            feed=store.feed,
            tail=tail,
            doorbell=parts.doorbell,
            identity=identity,
            tickets=tickets,
            jobs=parts.jobs,
            job_list=parts.jobs,
            exports=export_service(store, parts.jobs, parts.exports),
            export_rows=export_rows(store, parts.directory, commands, parts.exports),
            projections=await open_projection_care(stack, parts.database_url, parts.store),
            cursors=TokenBox(store.keys.mac(_CURSOR_KEY), "cursor"),
            now=_now,
            new_id=uuid7,
            log_id=store.identity.id,
            version=version("rollbook"),
            readiness=readiness,
            telemetry=telemetry_of(
                version("rollbook"),
                parts.database_url,
                store,
                parts.directory,
                parts.cache,
                readiness,
            ),
            stopping=parts.stopping,
        )
    )
    board = NoticeBoard(parts.notifications, parts.doorbell)
    EventStream(tail, identity, tickets, board).add_to(application)
    return application


def _urls(settings: Settings) -> tuple[str, str | None]:
    """The database's, and that of Redis where there is one."""
    redis_url = settings.redis_url.get_secret_value() if settings.redis_url else None
    return settings.database_url.get_secret_value(), redis_url


def _now() -> datetime:
    return datetime.now(UTC)


async def _answers(store: EventStore) -> None:
    await store.reader.rows("SELECT 1")
