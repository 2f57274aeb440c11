"""Exports on a real server for tests: the views, the jobs and the rows, in this process."""

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from typing import Any, Self
from uuid import UUID

from uuid_utils.compat import uuid7

from application.context import Context
from application.exports.requests import ExportSpec
from application.exports.rows import ExportRows, Row
from application.jobs.model import Job, JobKind
from application.users.service import UserService
from infrastructure.exports.postgres import PostgresExports
from interfaces.composition.exports import export_kind, export_rows, export_service
from tests.support.jobs.jobs import Bench
from tests.support.views.directory import ReadSide


class ExportWorld:
    """A directory with users and an audit log to export; `kind` is the job kind of the worker."""

    def __init__(
        self, views: ReadSide, bench: Bench, exports: PostgresExports, kind: JobKind
    ) -> None:
        self.views = views
        self.bench = bench
        self.exports = exports
        self.kind = kind
        self.commands = UserService(views.events.log)
        self._service = export_service(views.events, bench.jobs, exports)
        self.rows: ExportRows = export_rows(views.events, views.queries, self.commands, exports)

    @classmethod
    @asynccontextmanager
    async def open(
        cls, url: str, exports_of: type[PostgresExports] = PostgresExports
    ) -> AsyncGenerator[Self]:
        """Opens over a migrated database; projects nothing yet."""
        async with AsyncExitStack() as stack:
            views = await stack.enter_async_context(ReadSide.open(url))
            bench = await stack.enter_async_context(Bench.in_postgres(url))
            exports = exports_of(views.events.database)
            kind = export_kind(views.events, views.doorbell, exports)
            yield cls(views, bench, exports, kind)

    async def ask(
        self, order: ExportSpec, export_id: UUID | None = None, actor: str = "token:test"
    ) -> Job:
        position = await self.views.events.feed.head()
        return await self._service.submit(
            order,
            {},
            context=Context(actor=actor, correlation_id="export"),
            export_id=export_id or uuid7(),
            position=position,
        )

    async def done(self, order: ExportSpec) -> Job:
        """Run a new export, and return its finished job."""
        job = await self.ask(order)
        async with self.bench.working(self.kind):
            done = await self.bench.wait_for(job)
        assert done.state == "succeeded", done
        return done

    async def file(self, job: Job, *, opened: bool = True) -> list[Row]:
        """All rows of an export that succeeded."""
        result: dict[str, Any] = job.result or {}
        batches = self.rows.batches(job.id, result["what"], result["rows"], opened=opened)
        async with aclosing(batches):
            return [row async for batch in batches for row in batch]
