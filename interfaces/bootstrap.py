"""The composition root: opens what a process needs in order, and drains it in reverse."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Final

from fastapi import FastAPI
from msgspec import Struct
from uuid_utils.compat import uuid7

from application.documents import RenderedDocuments
from application.project import run_projectors
from application.tail import Tail
from application.users import UserService
from infrastructure.doorbell.postgres import PostgresDoorbell
from infrastructure.identity.admin_token import AdminTokenIdentity
from infrastructure.identity.tickets import PostgresTickets
from infrastructure.keys import MasterKeys, TokenBox
from infrastructure.views.directory import PostgresDirectory
from infrastructure.views.ensure import ensure_views
from infrastructure.views.store import PostgresViewStore
from interfaces.event_store import EventStore, open_event_store
from interfaces.http.app import create_app
from interfaces.http.services import Services
from interfaces.roles import EVERY_ROLE, Roles
from interfaces.settings import Settings
from projections.registry import PROJECTIONS


class Rollbook(Struct, frozen=True, kw_only=True):
    """A running process; `stopping` is set when it begins to drain, so that nobody waits on.

    There is an application only where `api` is among its roles.
    """

    application: FastAPI | None
    stopping: asyncio.Event


_CURSOR_KEY: Final = b"\x00cursors\x00"


@asynccontextmanager
async def open_rollbook(settings: Settings, roles: Roles = EVERY_ROLE) -> AsyncGenerator[Rollbook]:
    """These roles, running over a migrated database.

    A role that fails beyond its own repair ends the context with its error.
    """
    url = settings.database_url.get_secret_value()
    masters = MasterKeys.parse(settings.master_key.get_secret_value())
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(open_event_store(url, masters))
        doorbell = await stack.enter_async_context(PostgresDoorbell.open(url))
        slots = await ensure_views(url, PROJECTIONS)
        views = PostgresViewStore(url)
        directory = await stack.enter_async_context(
            PostgresDirectory.open(url, store.feed, doorbell)
        )
        stopping = asyncio.Event()
        services = Services(
            commands=UserService(store.log),
            queries=directory,
            documents=RenderedDocuments(directory),
            feed=store.feed,
            tail=Tail(store.feed, doorbell, store.identity.id, stopping),
            doorbell=doorbell,
            identity=AdminTokenIdentity(settings.admin_token.get_secret_value()),
            tickets=await stack.enter_async_context(PostgresTickets.open(url)),
            cursors=TokenBox(store.keys.mac(_CURSOR_KEY), "cursor"),
            now=lambda: datetime.now(UTC),
            new_id=uuid7,
            log_id=store.identity.id,
            version=version("rollbook"),
            readiness={"postgres": lambda: _answers(store)},
            stopping=stopping,
        )
        async with asyncio.TaskGroup() as tasks:
            running: list[asyncio.Task[None]] = []
            if "projector" in roles:
                projectors = run_projectors(slots, views, store.feed, doorbell)
                running.append(tasks.create_task(projectors, name="projectors"))
            try:
                application = create_app(services) if "api" in roles else None
                yield Rollbook(application=application, stopping=stopping)
            finally:
                for task in running:
                    task.cancel()


async def _answers(store: EventStore) -> None:
    await store.reader.rows("SELECT 1")
