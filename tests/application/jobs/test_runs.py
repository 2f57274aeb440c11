"""How fast a run is, what is said of one that failed, and how long a job waits for its next."""

import pytest

from application.errors import Unavailable
from application.jobs.model import JobFailed, Progress
from application.jobs.runs import Pace, error_of, progress_of, retry_seconds


class Clock:
    """Stands still until it is told to go on."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_run_that_has_not_reported_has_done_nothing() -> None:
    assert Pace().progress == Progress(done=0)


def test_nothing_is_said_of_the_pace_after_one_report() -> None:
    pace = Pace(Clock())
    pace.report(5, 10)
    assert pace.progress == Progress(done=5, total=10)


def test_a_run_that_began_midway_is_as_fast_as_it_is_itself() -> None:
    clock = Clock()
    pace = Pace(clock)
    pace.report(9000, 10_000)
    clock.now += 2
    pace.report(9100, 10_000)
    clock.now += 2
    pace.report(9200, 10_000)
    assert pace.progress == Progress(done=9200, total=10_000, rate=50.0, eta_seconds=16.0)


def test_without_a_total_nobody_knows_how_long_it_will_take() -> None:
    assert progress_of(100, None, 10.0) == Progress(done=100, rate=10.0)


def test_more_than_all_leaves_nothing_to_wait_for() -> None:
    assert progress_of(12, 10, 1.0).eta_seconds == 0


def test_a_run_that_is_over_leaves_nothing_to_wait_for() -> None:
    assert progress_of(5, 10, 1.0, running=False).eta_seconds is None


def test_each_failure_doubles_the_wait_up_to_a_minute() -> None:
    for runs, longest in [(1, 2), (2, 4), (3, 8), (6, 60), (10_000, 60)]:
        waits = [retry_seconds(runs) for _ in range(100)]
        assert longest / 2 <= min(waits) < max(waits) <= longest


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (JobFailed("There is no such projection."), "There is no such projection."),
        (Unavailable(), "Unavailable: The event store cannot be reached; nothing was recorded."),
        (ValueError("ada@example.org"), "ValueError"),
    ],
)
def test_an_error_is_named_without_its_values(error: Exception, said: str) -> None:
    assert error_of(error) == said
