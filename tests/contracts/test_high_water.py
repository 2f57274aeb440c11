"""The contract of every place that keeps high-water marks: they rise, and never fall."""

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path
from uuid import UUID

import pytest
from uuid_utils.compat import uuid7

from application.log.high_water import Epoch, HighWaterMarks
from infrastructure.high_water.file import FileHighWaterMarks
from infrastructure.high_water.redis import RedisHighWaterMarks
from tests.support.doubles.high_water import MemoryHighWaterMarks

FIRST = Epoch(1, 1_764_571_200_123_456)
SECOND = Epoch(2, 1_764_571_300_000_000)
HIGH = 9 * 10**15


@pytest.fixture(params=["memory", "file", "redis"])
async def marks(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncGenerator[HighWaterMarks]:
    if request.param == "memory":
        yield MemoryHighWaterMarks()
    elif request.param == "file":
        yield FileHighWaterMarks(tmp_path / "high-water.json")
    else:
        async with RedisHighWaterMarks.open(request.getfixturevalue("redis_url")) as marks:
            yield marks


@pytest.fixture
def log_id() -> UUID:
    return uuid7()


async def test_a_log_that_is_not_known_has_no_marks(marks: HighWaterMarks, log_id: UUID) -> None:
    assert await marks.read(log_id) == {}


async def test_a_mark_rises_and_never_falls(marks: HighWaterMarks, log_id: UUID) -> None:
    await marks.raise_to(log_id, {FIRST: 9})
    await marks.raise_to(log_id, {FIRST: 12})
    await marks.raise_to(log_id, {FIRST: 11})
    assert await marks.read(log_id) == {FIRST: 12}


async def test_each_epoch_has_its_own_mark(marks: HighWaterMarks, log_id: UUID) -> None:
    await marks.raise_to(log_id, {FIRST: 10**12, SECOND: 10**12})
    await marks.raise_to(log_id, {FIRST: 7, SECOND: HIGH})
    await marks.raise_to(log_id, {SECOND: HIGH - 1})
    assert await marks.read(log_id) == {FIRST: 10**12, SECOND: HIGH}


async def test_a_mark_of_another_log_changes_nothing(marks: HighWaterMarks, log_id: UUID) -> None:
    await marks.raise_to(log_id, {FIRST: 3})
    await marks.raise_to(uuid7(), {FIRST: 1000})
    assert await marks.read(log_id) == {FIRST: 3}


async def test_of_many_at_once_the_highest_stays(marks: HighWaterMarks, log_id: UUID) -> None:
    positions = [7, 30, 2, 29, 11, 1]
    await asyncio.gather(*(marks.raise_to(log_id, {FIRST: each}) for each in positions))
    assert await marks.read(log_id) == {FIRST: 30}
