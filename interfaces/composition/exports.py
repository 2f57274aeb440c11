"""Builds the exports: the job that selects rows, the service and the reader of rows."""

from typing import Final

from application.audit.search import Audit
from application.doorbell import Doorbell
from application.exports.job import ExportSources, export_jobs
from application.exports.requests import ExportService
from application.exports.rows import ExportRows
from application.jobs.model import JobKind, Jobs
from application.queries.directory import DirectoryQueries
from application.users.service import UserService
from infrastructure.exports.postgres import PostgresExports
from infrastructure.keys import AesTokenSealer
from infrastructure.views.queries.selection import PostgresUserSelection
from interfaces.composition.event_store import EventStore, access_records

_KEY: Final = b"\x00exports\x00"


def export_kind(store: EventStore, doorbell: Doorbell, exports: PostgresExports) -> JobKind:
    """The job kind that selects the rows of an export."""
    users = PostgresUserSelection(store.database, store.feed, doorbell)
    sources = ExportSources(users, Audit(store.audit, store.log), store.feed)
    return export_jobs(exports, _sealer(store), sources)


def export_service(store: EventStore, jobs: Jobs, exports: PostgresExports) -> ExportService:
    """The service that requests exports."""
    return ExportService(exports, access_records(store), jobs, _sealer(store))


def export_rows(
    store: EventStore, queries: DirectoryQueries, commands: UserService, exports: PostgresExports
) -> ExportRows:
    """The reader of the selected rows."""
    return ExportRows(exports, queries, commands, store.audit, Audit(store.audit, store.log))


def _sealer(store: EventStore) -> AesTokenSealer:
    return AesTokenSealer(store.keys.mac(_KEY), "export")
