"""Everything the HTTP interface asks of the rest: ports, clocks and id makers."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from application.audit_search import Audit
from application.blame import UserEvents
from application.cursors import CursorBox
from application.documents import Documents
from application.doorbell import Doorbell
from application.erasures import Erasures
from application.event_log import EventFeed
from application.export_rows import ExportRows
from application.exports import ExportService
from application.identity import Identity
from application.jobs import JobList, Jobs
from application.projection_care import ProjectionCare
from application.queries import DirectoryQueries
from application.tail import Tail
from application.telemetry import Telemetry
from application.tickets import Tickets
from application.user_commands import UserCommands
from interfaces.http.consistency import RecentCommands

ReadinessCheck = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """`readiness` names each dependency; its check raises where the dependency is not there.

    `stopping` is set when the server begins to drain: whatever waits for a client then ends.
    """

    commands: UserCommands
    erasures: Erasures
    queries: DirectoryQueries
    audit: Audit
    user_events: UserEvents
    documents: Documents
    feed: EventFeed
    tail: Tail
    doorbell: Doorbell
    identity: Identity
    tickets: Tickets
    jobs: Jobs
    job_list: JobList
    exports: ExportService
    export_rows: ExportRows
    projections: ProjectionCare
    cursors: CursorBox
    now: Callable[[], datetime]
    new_id: Callable[[], UUID]
    log_id: UUID
    version: str
    readiness: Mapping[str, ReadinessCheck]
    telemetry: Telemetry
    recent: RecentCommands = field(default_factory=RecentCommands)
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
