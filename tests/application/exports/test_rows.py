"""The rows of an export: pieces of bounded size, and outages of the store."""

from collections.abc import AsyncGenerator, Sequence
from uuid import UUID

import pytest
from msgspec.structs import replace
from uuid_utils.compat import uuid7

from application.audit.search import AuditQuery
from application.errors import Unavailable
from application.exports import rows as export_rows
from application.exports.requests import PIECE_ROWS, ExportSpec, Piece, What
from application.exports.rows import ExportGone, ExportRows, Row
from application.queries.directory import UserList
from tests.support.doubles.audit_log import InMemoryAuditLog
from tests.support.doubles.event_log import InMemoryEventLog
from tests.support.doubles.exports import InMemoryExports
from tests.support.http.directory import Directory
from tests.support.log.drafts import change, context, registration


class Failing(InMemoryExports):
    """Unavailable for the given number of reads of each piece."""

    def __init__(self, **failures: int) -> None:
        super().__init__()
        self.failures = {int(number.removeprefix("piece")): n for number, n in failures.items()}
        self.sizes: list[int] = []

    async def piece(self, export: UUID, number: int) -> Piece | None:
        if self.failures.get(number, 0) > 0:
            self.failures[number] -= 1
            raise Unavailable
        return await super().piece(export, number)

    async def add(self, export: UUID, attempt: int, number: int, piece: Piece) -> bool:
        self.sizes.append(len(piece.numbers))
        return await super().add(export, attempt, number, piece)


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export_rows, "_PAUSE_SECONDS", 0.001)
    monkeypatch.setattr(export_rows, "_TIMEOUT_SECONDS", 0.3)


async def exported(
    exports: Failing, users: int, *, audit: AuditQuery | None = None
) -> tuple[ExportRows, tuple[UUID, What, int]]:
    directory = Directory(exports=exports)
    for _ in range(users):
        stream = uuid7()
        await directory.log.append(registration(stream))
        await directory.log.append(change(stream, 1))
    order = ExportSpec(format="csv", users=None if audit else UserList(), audit=audit)
    job = await directory.services.exports.submit(
        order, {}, context=context(), position=2 * users, export_id=uuid7()
    )
    await directory.jobs.run_queued()
    done = await directory.jobs.job(job.id)
    assert done is not None
    assert done.result is not None
    return directory.services.export_rows, (job.id, order.what, done.result["rows"])


async def sizes(batches: AsyncGenerator[Sequence[Row]]) -> list[int]:
    return [len(batch) async for batch in batches]


@pytest.mark.parametrize(
    ("audit", "expected"),
    [
        (None, [PIECE_ROWS, PIECE_ROWS, 7]),
        (AuditQuery(kinds=("user",)), [PIECE_ROWS] * 4 + [14]),
        (AuditQuery(types=("user.role_changed",)), [PIECE_ROWS, PIECE_ROWS, 7]),
        (AuditQuery(types=("user.erased",)), [0]),
        (AuditQuery(), [0]),
    ],
)
async def test_no_more_than_one_piece_is_held_in_memory(
    audit: AuditQuery | None, expected: list[int]
) -> None:
    exports = Failing()
    rows, export = await exported(exports, 2 * PIECE_ROWS + 7, audit=audit)
    assert exports.sizes == expected
    assert await sizes(rows.batches(*export, opened=True)) == expected


async def test_a_short_outage_of_the_store_in_the_middle_is_retried() -> None:
    rows, export = await exported(Failing(piece1=3), PIECE_ROWS + 1)
    assert await sizes(rows.batches(*export, opened=True)) == [PIECE_ROWS, 1]


async def test_a_long_outage_of_the_store_aborts_the_file() -> None:
    rows, export = await exported(Failing(piece1=10**9), PIECE_ROWS + 1)
    batches = rows.batches(*export, opened=True)
    assert len(await anext(batches)) == PIECE_ROWS
    with pytest.raises(Unavailable):
        await anext(batches)


async def test_an_outage_before_the_first_row_fails_at_once() -> None:
    rows, export = await exported(Failing(piece0=1), 1)
    with pytest.raises(Unavailable):
        await anext(rows.batches(*export, opened=True))


async def test_missing_events_abort_the_file() -> None:
    """A file is never silently incomplete."""
    exports = Failing()
    rows, export = await exported(exports, 2, audit=AuditQuery(kinds=("user",)))

    empty = InMemoryAuditLog(InMemoryEventLog(uuid7))
    with pytest.raises(ExportGone):
        await anext(replace(rows, events=empty).batches(*export, opened=True))
