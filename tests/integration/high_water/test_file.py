"""The file of high-water marks is whole at every moment, whatever interrupts a write."""

from pathlib import Path

import pytest
from uuid_utils.compat import uuid7

from application.log.high_water import Epoch, MarksUnavailable
from infrastructure.high_water.file import FileHighWaterMarks

EPOCH = Epoch(1, 5)
LOG = uuid7()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "high-water.json"


async def test_a_write_that_was_interrupted_leaves_the_marks_of_before(file: Path) -> None:
    marks = FileHighWaterMarks(file)
    await marks.raise_to(LOG, {EPOCH: 3})
    (file.parent / "high-water.json.new").write_text('{"half')
    assert await marks.read(LOG) == {EPOCH: 3}
    await marks.raise_to(LOG, {EPOCH: 4})
    assert await marks.read(LOG) == {EPOCH: 4}
    assert [path.name for path in file.parent.iterdir()] == ["high-water.json"]


@pytest.mark.parametrize("content", ["", '{"half', "[]", '{"x": {"1:5": 3}}', "\x00" * 40])
async def test_a_damaged_file_is_no_mark_and_is_replaced(file: Path, content: str) -> None:
    file.write_text(content)
    marks = FileHighWaterMarks(file)
    with pytest.raises(MarksUnavailable):
        await marks.read(LOG)
    await marks.raise_to(LOG, {EPOCH: 4})
    assert await marks.read(LOG) == {EPOCH: 4}


async def test_only_the_owner_can_read_it_and_the_same_mark_is_not_written_again(
    file: Path,
) -> None:
    marks = FileHighWaterMarks(file)
    await marks.raise_to(LOG, {EPOCH: 4})
    before = file.stat()
    assert before.st_mode & 0o777 == 0o600
    await marks.raise_to(LOG, {EPOCH: 4})
    assert file.stat().st_ino == before.st_ino


async def test_without_its_folder_there_are_no_marks(tmp_path: Path) -> None:
    marks = FileHighWaterMarks(tmp_path / "missing" / "high-water.json")
    assert await marks.read(LOG) == {}
    with pytest.raises(MarksUnavailable):
        await marks.raise_to(LOG, {EPOCH: 4})
