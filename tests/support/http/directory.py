"""A directory in memory with the real commands and HTTP application, but without servers."""

import asyncio
import os
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final
from uuid import UUID, uuid5

from httpx2 import ASGITransport, AsyncClient
from msgspec.structs import replace
from uuid_utils.compat import uuid7

from application.access.callers import Callers
from application.access.openings import Openings
from application.access.ports import BearerVerifier
from application.access.records import AccessRecords
from application.access.session_service import SessionService
from application.audit.search import Audit
from application.erasure.coverage import Coverage
from application.erasure.erased_views import ViewGeneration
from application.erasure.service import ErasureService
from application.erasure.sweep import sweep_erasures
from application.errors import PositionAhead, ViewBehind
from application.exports.job import ExportSources, NotThereYet, Selection, export_jobs
from application.exports.requests import PIECE_ROWS, ExportService, Piece
from application.exports.rows import ExportRows
from application.live.tail import Tail
from application.projector.unused import UnusedProjections
from application.queries.directory import (
    Answer,
    ListCursor,
    ProjectionStatus,
    Stats,
    UserList,
    UserPage,
)
from application.queries.documents import RenderedDocuments
from application.reactions.admin import ReactionAdmin
from application.users.service import UserService
from domain.email import comparable_address
from infrastructure.doorbell.memory import MemoryDoorbell
from infrastructure.keys import AesTokenSealer
from infrastructure.telemetry.prometheus import PrometheusTelemetry
from interfaces.http.app import create_app
from interfaces.http.endpoint.services import ReadinessCheck, Services
from projections.folding import indexed_words, search_words
from projections.registry import PROJECTIONS
from projections.users import UserRow, UserView, evolve
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
from tests.support.http.preset_tokens import PresetTokens
from tests.support.reactions.greet import GREET
from tests.support.views.projection_admin import NoStoredViews, empty_projection_admin

LOG_ID: Final = UUID("018f0000-0000-7000-8000-000000000001")
ADA: Final = {"name": "Ada Lovelace", "email": "ada@example.org"}


class FoldedQueries:
    """The views, folded from the log at each query; they are `lag` positions behind it."""

    def __init__(self, log: InMemoryEventLog) -> None:
        self._log = log
        self.lag = 0

    async def user(self, user_id: UUID, *, at_least: int = 0) -> Answer[UserView | None]:
        rows, position = await self.rows(at_least)
        return Answer(rows.get(user_id), position)

    async def users(self, query: UserList, *, at_least: int = 0) -> Answer[UserPage]:
        rows, position = await self.rows(at_least)
        found = sorted(
            (row for row in rows.values() if _matches(row, query)),
            key=lambda row: _sort_place(row, query),
            reverse=query.descending,
        )
        if query.after is not None:
            end = (query.after.key, query.after.id)
            found = [row for row in found if (_sort_place(row, query) > end) != query.descending]
            found = [row for row in found if _sort_place(row, query) != end]
        page = found[: query.limit]
        last = _sort_place(page[-1], query) if len(found) > len(page) else None
        return Answer(UserPage(page, ListCursor(*last) if last else None), position)

    async def stats(self, now: datetime, *, at_least: int = 0) -> Answer[Stats]:
        rows, position = await self.rows(at_least)
        counts = {
            status: sum(row.status == status for row in rows.values())
            for status in ("active", "suspended", "deleted", "erased")
        }
        stats = Stats(
            **counts, total=len(rows), by_role={"member": len(rows)}, registered=[], trend="none"
        )
        return Answer(stats, position)

    async def projections(self) -> Answer[Sequence[ProjectionStatus]]:
        head = await self._log.head()
        status = ProjectionStatus(
            name="users",
            generation=1,
            position=head,
            head=head,
            lag=0,
            lag_seconds=0.0,
            parked=0,
            state="live",
        )
        return Answer([status], head)

    async def rows(self, at_least: int = 0) -> tuple[dict[UUID, UserRow], int]:
        """All users, and the position that they are folded to."""
        head = await self._log.head()
        position = max(head - self.lag, 0)
        if at_least > head:
            raise PositionAhead(head)
        if at_least > position:
            raise ViewBehind(position)
        rows: dict[UUID, UserRow] = {}
        for recorded in (await self._log.read(0, position)).events if position else ():
            if recorded.kind != "user":
                continue
            rows[recorded.stream] = evolve(rows.get(recorded.stream), recorded)
        return rows, position


class FoldedSelection:
    """See `UserSelection`: selects all users that the queries list at one position."""

    def __init__(self, views: FoldedQueries) -> None:
        self._views = views

    @asynccontextmanager
    async def select(self, query: UserList, position: int) -> AsyncGenerator[Selection]:
        try:
            answer = await self._views.users(replace(query, limit=10**9), at_least=position)
        except ViewBehind as error:
            raise NotThereYet from error
        items = answer.value.items
        yield Selection(answer.position, len(items), _in_pieces(items))


async def _in_pieces(users: Sequence[UserView]) -> AsyncGenerator[Piece]:
    for begin in range(0, len(users), PIECE_ROWS):
        piece = users[begin : begin + PIECE_ROWS]
        yield Piece([user.version for user in piece], [user.id for user in piece])


class FoldedErasedViews:
    """See `ErasedViews`: one generation of each projection, at the position of the queries."""

    def __init__(self, log: InMemoryEventLog, views: FoldedQueries) -> None:
        self._log = log
        self._views = views

    async def generations(self) -> Sequence[ViewGeneration]:
        position = await self._log.head() - self._views.lag
        return [ViewGeneration(each.name, 1, True, position) for each in PROJECTIONS]

    async def dropped_since(self, seconds: int) -> Sequence[int]:
        return []

    async def finish_erasure(self, view: ViewGeneration, position: int, seconds: float) -> None:
        """Returns at once: the views hold nothing that is erased."""


class Directory:
    """An application with its own log; `as_` opens a client with a token."""

    def __init__(
        self,
        readiness: Mapping[str, ReadinessCheck] | None = None,
        exports: InMemoryExports | None = None,
        jwts: BearerVerifier | None = None,
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


def _matches(row: UserRow, query: UserList) -> bool:
    words = indexed_words([row.name, row.email])
    asked_words = None if query.words is None else search_words([query.words])
    return all(
        (
            row.status in (query.statuses or ("active", "suspended")),
            not query.ids or row.id in query.ids,
            not query.roles or row.role in query.roles,
            not query.external_ids or row.external_id in query.external_ids,
            not query.emails or comparable_address(row.email or "@") in query.emails,
            asked_words is None
            or (
                bool(asked_words)
                and all(any(word.startswith(asked) for word in words) for asked in asked_words)
            ),
        )
    )


def _sort_place(row: UserRow, query: UserList) -> tuple[str, UUID]:
    return str(getattr(row, query.sort)), row.id
