"""The progress of a run, the error of a failed run, and the wait before the next one."""

import pytest

from application.errors import Unavailable
from application.jobs.model import JobFailed, Progress
from application.jobs.pace import Pace, progress_of
from application.jobs.runs import error_of, retry_seconds


class Clock:
    """A clock that moves only when the test sets it."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_run_without_a_report_has_no_progress() -> None:
    assert Pace().progress == Progress(done=0)


def test_one_report_gives_no_rate() -> None:
    pace = Pace(Clock())
    pace.report(5, 10)
    assert pace.progress == Progress(done=5, total=10)


def test_the_rate_counts_only_the_work_of_this_run() -> None:
    clock = Clock()
    pace = Pace(clock)
    pace.report(9000, 10_000)
    clock.now += 2
    pace.report(9100, 10_000)
    clock.now += 2
    pace.report(9200, 10_000)
    assert pace.progress == Progress(done=9200, total=10_000, rate=50.0, eta_seconds=16.0)


def test_without_a_total_there_is_no_remaining_time() -> None:
    assert progress_of(100, None, 10.0) == Progress(done=100, rate=10.0)


def test_more_done_than_the_total_leaves_no_remaining_time() -> None:
    assert progress_of(12, 10, 1.0).eta_seconds == 0


def test_a_finished_run_has_no_remaining_time() -> None:
    assert progress_of(5, 10, 1.0, running=False).eta_seconds is None


def test_each_failure_doubles_the_wait_up_to_a_minute() -> None:
    for runs, max_wait in [(1, 2), (2, 4), (3, 8), (6, 60), (10_000, 60)]:
        waits = [retry_seconds(runs, 2) for _ in range(100)]
        assert max_wait / 2 <= min(waits) < max(waits) <= max_wait


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (JobFailed("There is no such projection."), "There is no such projection."),
        (Unavailable(), "Unavailable: The event store cannot be reached; nothing was recorded."),
        (ValueError("ada@example.org"), "ValueError"),
    ],
)
def test_an_error_is_reported_without_its_values(error: Exception, message: str) -> None:
    assert error_of(error) == message
