"""Everything that the HTTP interface calls: ports, clocks and id generators."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from application.access.callers import Callers
from application.access.limits import Limits
from application.access.oidc import OidcLogin
from application.access.openings import Openings
from application.access.session_service import SessionService
from application.access.tokens import TokenService
from application.audit.search import Audit, EventLookup
from application.cursors import TokenSealer
from application.doorbell import Doorbell
from application.erasure.service import ErasureService
from application.exports.requests import ExportService
from application.exports.rows import ExportRows
from application.jobs.model import JobList, Jobs
from application.live.tail import Tail
from application.live.tickets import Tickets
from application.log.search import SearchableFeed
from application.messaging.rejected import RelayRecords
from application.metrics.telemetry import Telemetry
from application.projector.admin import ProjectionAdmin
from application.projector.stored_views import StoredViews
from application.projector.unused import UnusedProjections
from application.queries.directory import DirectoryQueries
from application.queries.documents import Documents
from application.reactions.admin import ReactionAdmin
from application.receipts import AnswerReceipts
from application.turns import Turns
from application.users.service import UserService
from application.webhooks.parts import Webhooks
from interfaces.http.endpoint.readiness import KnownStates
from interfaces.http.protocol.consistency import RecentCommands
from interfaces.http.protocol.forwarded import Networks
from interfaces.http.protocol.origins import Origins

ReadinessCheck = Callable[[], Awaitable[None]]
Readiness = Mapping[str, ReadinessCheck | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """`readiness` names each server and each part of Rollbook; its check raises if that is down. A
    name without a check is off.

    Without `limits` there are none. `turns` are for the checks of large requests. `stopping` is set when the server begins to drain: requests that wait then end.
    """

    commands: UserService
    erasures: ErasureService
    queries: DirectoryQueries
    audit: Audit
    user_events: EventLookup
    documents: Documents
    feed: SearchableFeed
    tail: Tail
    doorbell: Doorbell
    callers: Callers
    sessions: SessionService
    oidc: OidcLogin | None = None
    tickets: Tickets
    openings: Openings
    jobs: Jobs
    job_list: JobList
    exports: ExportService
    export_rows: ExportRows
    projections: ProjectionAdmin
    unused_projections: UnusedProjections
    stored_views: StoredViews
    reactions: ReactionAdmin
    relay: RelayRecords
    webhooks: Webhooks
    tokens: TokenService
    cursors: TokenSealer
    now: Callable[[], datetime]
    new_id: Callable[[], UUID]
    import_id: Callable[[str], UUID]
    log_id: UUID
    version: str
    public_url: str | None = None
    limits: Limits | None = None
    origins: Origins = field(default_factory=Origins)
    trusted_proxies: Networks = ()
    readiness: Readiness
    telemetry: Telemetry
    receipts: AnswerReceipts
    recent: RecentCommands = field(default_factory=RecentCommands)
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    states: KnownStates = field(default_factory=KnownStates)
    turns: Turns = field(default_factory=Turns)
