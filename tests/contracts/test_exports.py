"""The contract of every export store: it keeps requests and the pieces of the latest run only."""

from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Final
from uuid import UUID

import pytest
from msgspec.structs import replace
from uuid_utils.compat import uuid7

from application.exports.requests import PendingExport, Piece, RequestedExport, SelectedExport
from infrastructure.database import Database
from infrastructure.exports.postgres import PostgresExports
from tests.support.doubles.exports import InMemoryExports

Exports = InMemoryExports | PostgresExports
USERS: Final = (uuid7(), uuid7())
FIRST: Final = Piece([3, 1], list(USERS))
DONE: Final = SelectedExport(2, 41)


@asynccontextmanager
async def in_memory() -> AsyncGenerator[Exports]:
    yield InMemoryExports()


@asynccontextmanager
async def in_postgres(url: str) -> AsyncGenerator[Exports]:
    async with Database.open(url) as database:
        yield PostgresExports(database)


@pytest.fixture(params=["memory", "postgres"])
def opened(request: pytest.FixtureRequest) -> AbstractAsyncContextManager[Exports]:
    if request.param == "memory":
        return in_memory()
    return in_postgres(request.getfixturevalue("database_url"))


@pytest.fixture
async def exports(opened: AbstractAsyncContextManager[Exports]) -> AsyncGenerator[Exports]:
    async with opened as exports:
        yield exports


def requested(**fields: Any) -> RequestedExport:
    default = RequestedExport(id=uuid7(), actor="token:x", request="sealed", names=True, position=7)
    return replace(default, **fields)


async def begun(exports: Exports, attempt: int = 1) -> UUID:
    export = requested()
    await exports.record(export)
    assert await exports.begin(export.id, attempt) == PendingExport("sealed", 7)
    return export.id


async def test_pieces_are_read_as_they_were_added(exports: Exports) -> None:
    export, other = await begun(exports), await begun(exports)
    assert await exports.add(export, 1, 0, FIRST)
    assert await exports.add(export, 1, 1, Piece([5, 9]))
    assert await exports.end(export, 1, DONE)
    first, second = await exports.piece(export, 0), await exports.piece(export, 1)
    assert first is not None
    assert second is not None
    assert (list(first.numbers), tuple(first.users)) == ([3, 1], USERS)
    assert (list(second.numbers), list(second.users)) == ([5, 9], [])
    assert await exports.piece(export, 2) is None
    assert await exports.piece(other, 0) is None
    assert await exports.piece(uuid7(), 0) is None


async def test_a_piece_that_is_added_twice_is_stored_once(exports: Exports) -> None:
    export = await begun(exports)
    for _ in range(2):
        assert await exports.add(export, 1, 0, FIRST)
        assert await exports.piece(export, 1) is None
    for _ in range(2):
        assert await exports.end(export, 1, DONE)


async def test_a_later_run_begins_without_pieces_and_the_earlier_run_is_ignored(
    exports: Exports,
) -> None:
    export = await begun(exports)
    assert await exports.add(export, 1, 0, FIRST)
    assert await exports.begin(export, 2) == PendingExport("sealed", 7)
    assert await exports.piece(export, 0) is None
    assert not await exports.add(export, 1, 1, FIRST)
    assert not await exports.end(export, 1, DONE)
    assert await exports.begin(export, 1) is None
    assert await exports.add(export, 2, 0, Piece([8]))
    assert await exports.end(export, 2, SelectedExport(1, 50))
    assert not await exports.end(export, 1, DONE)


async def test_the_same_run_may_begin_again(exports: Exports) -> None:
    export = await begun(exports)
    assert await exports.add(export, 1, 0, FIRST)
    assert await exports.begin(export, 1) == PendingExport("sealed", 7)
    assert await exports.piece(export, 0) is None


async def test_a_run_after_the_end_finds_the_selected_rows(exports: Exports) -> None:
    export = await begun(exports)
    assert await exports.add(export, 1, 0, FIRST)
    assert await exports.end(export, 1, DONE)
    assert await exports.begin(export, 2) == DONE
    assert await exports.piece(export, 0) is not None
    assert not await exports.add(export, 2, 1, FIRST)


async def test_an_unknown_export_cannot_begin(exports: Exports) -> None:
    assert await exports.begin(uuid7(), 1) is None
    assert not await exports.add(uuid7(), 1, 0, FIRST)
    assert not await exports.end(uuid7(), 1, DONE)


async def test_an_export_that_is_recorded_again_stays_as_it_is(exports: Exports) -> None:
    export = await begun(exports)
    assert await exports.add(export, 1, 0, FIRST)
    await exports.record(requested(id=export, position=99))
    assert await exports.end(export, 1, DONE)
    await exports.record(requested(id=export, position=99))
    assert await exports.begin(export, 2) == DONE
    assert await exports.piece(export, 0) is not None


async def test_requests_are_kept_until_their_rows_are_selected(exports: Exports) -> None:
    assert await exports.oldest_naming() is None
    await exports.record(requested(position=6, names=False))
    oldest = requested(position=7)
    await exports.record(oldest)
    await exports.record(requested(position=8))
    assert await exports.oldest_naming() == 7
    await exports.begin(oldest.id, 1)
    assert await exports.oldest_naming() == 7
    await exports.end(oldest.id, 1, DONE)
    assert await exports.oldest_naming() == 8
