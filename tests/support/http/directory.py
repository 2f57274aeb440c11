"""A directory in memory with the real commands and HTTP application, but without servers."""

import asyncio
import os
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final
from uuid import UUID, uuid5

from httpx2 import ASGITransport, AsyncClient
from uuid_utils.compat import uuid7

from application.access.callers import Callers
from application.access.oidc import OidcLogin
from application.access.openings import Openings
from application.access.ports import BearerVerifier
from application.access.records import AccessRecords
from application.access.session_service import SessionService
from application.audit.search import Audit
from application.erasure.coverage import Coverage
from application.erasure.service import ErasureService
from application.erasure.sweep import sweep_erasures
from application.exports.job import ExportSources, export_jobs
from application.exports.requests import ExportService
from application.exports.rows import ExportRows
from application.live.tail import Tail
from application.projector.unused import UnusedProjections
from application.queries.documents import RenderedDocuments
from application.reactions.admin import ReactionAdmin
from application.users.service import UserService
from infrastructure.doorbell.memory import MemoryDoorbell
from infrastructure.keys import AesTokenSealer
from infrastructure.telemetry.prometheus import PrometheusTelemetry
from interfaces.http.app import create_app
from interfaces.http.endpoint.services import ReadinessCheck, Services
from tests.support.doubles.audit_log import InMemoryAuditLog
from tests.support.doubles.credentials import InMemoryCredentials
from tests.support.doubles.event_log import InMemoryEventLog
from tests.support.doubles.exports import InMemoryExports
from tests.support.doubles.jobs import InMemoryJobs
from tests.support.doubles.reactions import InMemoryReactionRecords
from tests.support.doubles.receipts import InMemoryAnswerReceipts
from tests.support.doubles.relay_ledger import MemoryRelayLedger
from tests.support.doubles.sessions import InMemorySessions, InMemorySignInLinks
from tests.support.doubles.stored_projections import InMemoryStoredProjections
from tests.support.doubles.tickets import InMemoryTickets
from tests.support.doubles.tokens import MemoryTokens
from tests.support.doubles.webhooks import Endpoints, InMemoryDeliveries, managed_webhooks
from tests.support.http.folded_views import FoldedErasedViews, FoldedQueries, FoldedSelection
from tests.support.http.preset_tokens import PresetTokens
from tests.support.reactions.greet import GREET
from tests.support.views.projection_admin import NoStoredViews, empty_projection_admin

LOG_ID: Final = UUID("018f0000-0000-7000-8000-000000000001")
ADA: Final = {"name": "Ada Lovelace", "email": "ada@example.org"}


class Directory:
    """An application with its own log; `as_` opens a client with a token."""

    def __init__(
        self,
        readiness: Mapping[str, ReadinessCheck] | None = None,
        exports: InMemoryExports | None = None,
        jwts: BearerVerifier | None = None,
        oidc: OidcLogin | None = None,
    ) -> None:
        self.log = InMemoryEventLog(uuid7)
        self.receipts = InMemoryAnswerReceipts(self.log, uuid7)
        self.views = FoldedQueries(self.log)
        self.audit_log = InMemoryAuditLog(self.log)
        self.doorbell = MemoryDoorbell()
        commands = UserService(self.log)
        coverage = Coverage(FoldedErasedViews(self.log, self.views), None, self.doorbell)
        self._coverage = coverage
        self.exports = exports or InMemoryExports()
        self.stored_projections = InMemoryStoredProjections("users", "headcount")
        access = AccessRecords(self.log, partial(uuid5, LOG_ID))
        self.openings = Openings(access, _now)
        audit, sealer = Audit(self.audit_log, self.log), AesTokenSealer(os.urandom(32), "export")
        sources = ExportSources(FoldedSelection(self.views), audit, self.log)
        self.jobs = InMemoryJobs(uuid7, export_jobs(self.exports, sealer, sources))
        stopping = asyncio.Event()
        self.tail = Tail(self.log, self.doorbell, LOG_ID, stopping)
        self.reactions = InMemoryReactionRecords()
        self.relay = MemoryRelayLedger()
        self.endpoints = Endpoints()
        self.deliveries = InMemoryDeliveries()
        self.tokens = InMemoryCredentials("token")
        self.sessions = InMemorySessions(_now, uuid7)
        self.callers = Callers(
            fixed=PresetTokens(), tokens=self.tokens, sessions=self.sessions, jwts=jwts
        )
        links = InMemorySignInLinks(_now, uuid7)
        self.issued_tokens = MemoryTokens(self.log)
        self.services = Services(
            commands=commands,
            erasures=ErasureService(commands, coverage, self.jobs, timeout_seconds=0.02),
            queries=self.views,
            audit=audit,
            user_events=self.audit_log,
            documents=RenderedDocuments(self.views),
            feed=self.log,
            tail=self.tail,
            doorbell=self.doorbell,
            callers=self.callers,
            openings=self.openings,
            sessions=SessionService(self.sessions, self.sessions, links, self.tokens),
            oidc=oidc,
            tickets=InMemoryTickets(_now),
            jobs=self.jobs,
            job_list=self.jobs,
            exports=ExportService(self.exports, access, self.jobs, sealer),
            export_rows=ExportRows(self.exports, self.views, commands, self.audit_log, audit),
            relay=self.relay,
            reactions=ReactionAdmin((GREET,), self.reactions, MemoryDoorbell()),
            webhooks=managed_webhooks(self.log, self.endpoints, self.deliveries),
            tokens=self.issued_tokens.commands,
            projections=empty_projection_admin("users", "headcount"),
            stored_views=NoStoredViews(),
            unused_projections=UnusedProjections(("users", "headcount"), self.stored_projections),
            receipts=self.receipts,
            cursors=AesTokenSealer(os.urandom(32), "cursor"),
            now=_now,
            new_id=uuid7,
            import_id=lambda import_key: uuid5(LOG_ID, import_key),
            log_id=LOG_ID,
            version="1.2.3",
            public_url="http://rollbook",
            readiness=readiness or {},
            telemetry=PrometheusTelemetry("1.2.3"),
            stopping=stopping,
        )
        self.app = create_app(self.services)

    async def sweep_erasures(self) -> None:
        """Complete erasures that wait, as a worker does."""
        await sweep_erasures(self._coverage, self.jobs)

    @asynccontextmanager
    async def as_(self, token: str | None = "admin") -> AsyncGenerator[AsyncClient]:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        transport = ASGITransport(app=self.app, raise_app_exceptions=False)
        async with AsyncClient(
            transport=transport, base_url="http://rollbook", headers=headers
        ) as client:
            yield client


async def registered(client: AsyncClient, **fields: Any) -> dict[str, Any]:
    """Register a user; the answer of the API."""
    answer = await client.post("/v1/users", json={**ADA, **fields})
    assert answer.status_code == 201, answer.text
    return answer.json()


def _now() -> datetime:
    return datetime.now(UTC)
