"""When a log is behind its high-water marks, and what several places know together."""

import pytest
from uuid_utils.compat import uuid7

from application.log.high_water import CombinedMarks, Epoch, Marks, is_behind
from tests.support.doubles.high_water import MemoryHighWaterMarks

FIRST, SECOND, OTHER_SECOND = Epoch(1, 10), Epoch(2, 20), Epoch(2, 30)
LOG = uuid7()


@pytest.mark.parametrize(
    ("marks", "behind"),
    [
        pytest.param({}, False, id="no mark is kept"),
        pytest.param({SECOND: 149}, False, id="an event was committed after the mark"),
        pytest.param({SECOND: 150}, False, id="the mark is the head"),
        pytest.param({SECOND: 151}, True, id="an event is missing"),
        pytest.param({FIRST: 1000, SECOND: 150}, False, id="an earlier epoch ended"),
        pytest.param({Epoch(3, 40): 1000}, False, id="a copy of the log went its own way"),
        pytest.param({OTHER_SECOND: 1}, True, id="another history has an epoch of this number"),
    ],
)
def test_a_log_is_behind_if_its_epoch_was_further(marks: Marks, behind: bool) -> None:
    assert is_behind(SECOND, 150, marks) is behind


async def test_the_highest_mark_of_several_places_counts() -> None:
    one, two = MemoryHighWaterMarks(), MemoryHighWaterMarks()
    await one.raise_to(LOG, {FIRST: 8, SECOND: 2})
    await two.raise_to(LOG, {FIRST: 5, SECOND: 9})
    marks = CombinedMarks(one, two)
    assert await marks.read(LOG) == {FIRST: 8, SECOND: 9}
    await marks.raise_to(LOG, {FIRST: 7, SECOND: 10})
    assert one.logs == {LOG: {FIRST: 8, SECOND: 10}}
    assert two.logs == {LOG: {FIRST: 7, SECOND: 10}}


async def test_a_place_that_is_away_is_left_out_and_comes_back() -> None:
    one, two = MemoryHighWaterMarks(), MemoryHighWaterMarks()
    marks = CombinedMarks(one, two)
    one.away = True
    await marks.raise_to(LOG, {FIRST: 3})
    assert await marks.read(LOG) == {FIRST: 3}
    one.away = False
    assert one.logs == {}
    await marks.raise_to(LOG, {FIRST: 4})
    assert one.logs == two.logs == {LOG: {FIRST: 4}}
    two.away = one.away = True
    assert await marks.read(LOG) == {}


def test_an_epoch_is_read_as_it_is_written() -> None:
    assert Epoch.parse(str(SECOND)) == SECOND
    for wrong in ("", "2", "2:x", "1:2:3"):
        with pytest.raises(ValueError, match=r"."):
            Epoch.parse(wrong)
