"""The composition root: opens what a process needs in order, and drains it in reverse."""

import asyncio
from collections.abc import AsyncGenerator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any, Final

from fastapi import FastAPI
from msgspec import Struct
from uuid_utils.compat import uuid7

from application.cache_followers import run_stats_cache, run_user_cache
from application.cached_documents import CachedDocuments
from application.documents import Documents, RenderedDocuments
from application.doorbell import Doorbell
from application.project import run_projectors
from application.relay import run_relay
from application.tail import Tail
from application.users import UserService
from infrastructure.bus.rabbitmq import RabbitMQBus
from infrastructure.cache.redis import RedisCache
from infrastructure.doorbell.broadcast import BroadcastDoorbell
from infrastructure.doorbell.memory import MemoryDoorbell
from infrastructure.doorbell.postgres import PostgresDoorbell
from infrastructure.event_store.changes import PostgresChangeFeed
from infrastructure.event_store.sealed_feed import PostgresSealedFeed
from infrastructure.identity.admin_token import AdminTokenIdentity
from infrastructure.identity.tickets import PostgresTickets
from infrastructure.keys import MasterKeys, TokenBox
from infrastructure.relay.ledger import PostgresRelayLedger
from infrastructure.views.directory import PostgresDirectory
from infrastructure.views.ensure import ensure_views
from infrastructure.views.entries import PostgresViewEntries
from infrastructure.views.store import PostgresViewStore
from interfaces.event_store import EventStore, open_event_store
from interfaces.http.app import create_app
from interfaces.http.services import Services
from interfaces.roles import EVERY_ROLE, Roles
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
    store: EventStore
    doorbell: Doorbell
    directory: PostgresDirectory
    cache: RedisCache | None
    stopping: asyncio.Event


@asynccontextmanager
async def open_rollbook(settings: Settings, roles: Roles = EVERY_ROLE) -> AsyncGenerator[Rollbook]:
    """These roles, running over a migrated database.

    The relay runs where there is a broker to relay to. A role that fails beyond its own repair
    ends the context with its error.
    """
    async with AsyncExitStack() as stack:
        parts = await _open_parts(stack, settings)
        work: list[Coroutine[Any, Any, None]] = []
        application = None
        if "projector" in roles:
            work += await _projector(stack, parts)
        if "relay" in roles and settings.amqp_url is not None:
            work.append(_relay(parts, settings.amqp_url.get_secret_value()))
        if "api" in roles:
            application = await _api(stack, parts)
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(each) for each in work]
            try:
                yield Rollbook(application=application, stopping=parts.stopping)
            finally:
                for task in running:
                    task.cancel()


async def _open_parts(stack: AsyncExitStack, settings: Settings) -> _Parts:
    url = settings.database_url.get_secret_value()
    masters = MasterKeys.parse(settings.master_key.get_secret_value())
    store = await stack.enter_async_context(open_event_store(url, masters))
    redis_url = settings.redis_url.get_secret_value() if settings.redis_url else None
    doorbell: Doorbell
    cache = None
    # Postgres rings for the log in any case: the append function does so in its transaction.
    bells = MemoryDoorbell()
    doorbell = await stack.enter_async_context(PostgresDoorbell.open(url, bells))
    if redis_url is not None:
        namespace = str(store.identity.id)
        doorbell = await stack.enter_async_context(
            BroadcastDoorbell.open(redis_url, namespace, bells)
        )
        cache = await stack.enter_async_context(
            RedisCache.open(
                redis_url, store.identity.id, store.identity.epoch, ttl=settings.cache_ttl
            )
        )
    return _Parts(
        settings=settings,
        database_url=url,
        store=store,
        doorbell=doorbell,
        directory=await stack.enter_async_context(
            PostgresDirectory.open(url, store.feed, doorbell)
        ),
        cache=cache,
        stopping=asyncio.Event(),
    )


async def _projector(stack: AsyncExitStack, parts: _Parts) -> list[Coroutine[Any, Any, None]]:
    """The projectors, and what keeps the cache behind their views."""
    slots = await ensure_views(parts.database_url, PROJECTIONS)
    views = PostgresViewStore(parts.database_url)
    work: list[Coroutine[Any, Any, None]] = [
        run_projectors(slots, views, parts.store.feed, parts.doorbell)
    ]
    if parts.cache is not None:
        entries = await stack.enter_async_context(PostgresViewEntries.open(parts.database_url))
        changes = PostgresChangeFeed(parts.store.reader)
        rendered = RenderedDocuments(parts.directory)
        work += [
            run_user_cache(slots, parts.cache.following, changes, entries, parts.doorbell),
            run_stats_cache(parts.cache.stats, rendered, parts.doorbell, _now),
        ]
    return work


async def _relay(parts: _Parts, amqp_url: str) -> None:
    await run_relay(
        RabbitMQBus(amqp_url),
        PostgresRelayLedger(parts.database_url),
        PostgresSealedFeed(parts.store.reader, parts.store.identity.breaks),
        parts.doorbell,
        parts.store.identity.id,
    )


async def _api(stack: AsyncExitStack, parts: _Parts) -> FastAPI:
    store, settings = parts.store, parts.settings
    await ensure_views(parts.database_url, PROJECTIONS)
    documents: Documents = RenderedDocuments(parts.directory)
    if parts.cache is not None:
        documents = await stack.enter_async_context(
            CachedDocuments.open(parts.cache.users, parts.cache.stats, documents, parts.directory)
        )
    tail = Tail(store.feed, parts.doorbell, store.identity.id, parts.stopping)
    identity = AdminTokenIdentity(settings.admin_token.get_secret_value())
    tickets = await stack.enter_async_context(PostgresTickets.open(parts.database_url))
    application = create_app(
        Services(
            commands=UserService(store.log),
            queries=parts.directory,
            documents=documents,
            feed=store.feed,
            tail=tail,
            doorbell=parts.doorbell,
            identity=identity,
            tickets=tickets,
            cursors=TokenBox(store.keys.mac(_CURSOR_KEY), "cursor"),
            now=_now,
            new_id=uuid7,
            log_id=store.identity.id,
            version=version("rollbook"),
            readiness={"postgres": lambda: _answers(store)},
            stopping=parts.stopping,
        )
    )
    EventStream(tail, identity, tickets).add_to(application)
    return application


def _now() -> datetime:
    return datetime.now(UTC)


async def _answers(store: EventStore) -> None:
    await store.reader.rows("SELECT 1")
