"""The role that answers HTTP requests and streams events."""

from collections.abc import Coroutine
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any, Final

from fastapi import FastAPI
from uuid_utils.compat import uuid7

from application.access.openings import Openings
from application.audit.search import Audit
from application.cache.documents import CachedDocuments
from application.erasure.service import ErasureService
from application.live.notifications import NoticeBoard
from application.live.tail import Tail
from application.queries.documents import Documents, RenderedDocuments
from application.users.service import UserService
from infrastructure.identity.tickets import PostgresTickets
from infrastructure.keys import AesTokenSealer
from infrastructure.receipts.postgres import PostgresAnswerReceipts
from infrastructure.relay.records import PostgresRelayRecords
from infrastructure.views.projector.ensure import ensure_views
from infrastructure.views.projector.stored_views import PostgresStoredViews
from interfaces.composition.access import access_of
from interfaces.composition.event_store import access_records
from interfaces.composition.exports import export_rows, export_service
from interfaces.composition.limits import open_limits
from interfaces.composition.metrics import telemetry_of
from interfaces.composition.oidc import open_oidc
from interfaces.composition.projector import projection_admin, unused_projections
from interfaces.composition.reaction_admin import reaction_admin
from interfaces.composition.readiness import readiness_of
from interfaces.composition.shared import Parts
from interfaces.composition.tokens import token_service
from interfaces.composition.webhooks import managed_webhooks
from interfaces.http.app import create_app
from interfaces.http.endpoint.services import Services
from interfaces.http.protocol.origins import Origins
from interfaces.setting_values import network_list, origin_list
from interfaces.stream.websocket import EventStream
from projections.registry import PROJECTIONS

_CURSOR_KEY: Final = b"\x00cursors\x00"


async def open_api(
    stack: AsyncExitStack, parts: Parts
) -> tuple[FastAPI, list[Coroutine[Any, Any, None]]]:
    """The application, whose routes can be called from now on, and its tasks."""
    store, settings = parts.store, parts.settings
    await ensure_views(parts.database.url, PROJECTIONS)
    documents: Documents = RenderedDocuments(parts.directory)
    if parts.cache is not None:
        documents = await stack.enter_async_context(
            CachedDocuments.open(parts.cache, documents, parts.directory, parts.doorbell)
        )
    tail = Tail(store.feed, parts.doorbell, store.identity.id, parts.stopping)
    oidc = await open_oidc(stack, parts)
    access = access_of(parts, oidc.jwts)
    tickets = PostgresTickets(parts.database)
    openings = Openings(access_records(store), _now)
    limits, sharing = await open_limits(stack, parts)
    commands = UserService(store.log)
    readiness = readiness_of(parts)
    reactions = reaction_admin(parts)
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
            callers=access.callers,
            sessions=access.sessions,
            oidc=oidc.login,
            tickets=tickets,
            openings=openings,
            jobs=parts.jobs,
            job_list=parts.jobs,
            exports=export_service(store, parts.jobs, parts.exports),
            export_rows=export_rows(store, parts.directory, commands, parts.exports),
            projections=projection_admin(store),
            unused_projections=unused_projections(parts.database),
            stored_views=PostgresStoredViews(parts.database, PROJECTIONS),
            reactions=reactions,
            relay=PostgresRelayRecords(parts.database),
            webhooks=managed_webhooks(store, settings),
            tokens=token_service(store),
            receipts=PostgresAnswerReceipts(parts.database, store.keys, uuid7),
            cursors=AesTokenSealer(store.keys.mac(_CURSOR_KEY), "cursor"),
            now=_now,
            new_id=uuid7,
            import_id=store.keys.import_id,
            log_id=store.identity.id,
            version=version("rollbook"),
            public_url=settings.public_url,
            limits=limits,
            origins=Origins(origin_list(settings.allowed_origins or ""), settings.public_url),
            trusted_proxies=network_list(settings.trusted_proxies or ""),
            readiness=readiness,
            telemetry=telemetry_of(
                version("rollbook"),
                store,
                parts.directory,
                parts.cache,
                readiness,
                reactions,
            ),
            stopping=parts.stopping,
        )
    )
    board = NoticeBoard(parts.notifications, parts.doorbell)
    EventStream(tail, access.callers, tickets, board, openings).add_to(application)
    return application, [access.callers.run(), *sharing]


def _now() -> datetime:
    return datetime.now(UTC)
