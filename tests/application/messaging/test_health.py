"""When the relay needs an operator."""

import pytest
from msgspec.structs import replace

from application.errors import Degraded, NotRunning
from application.messaging.health import MAX_LAG_SECONDS, check_relay, is_behind
from application.messaging.rejected import RelayStatus

LIVE = RelayStatus(
    position=10, head=10, lag=0, lag_seconds=0, rejected=0, last_rejected_at=None, state="live"
)
LATE = replace(LIVE, lag_seconds=MAX_LAG_SECONDS + 1, state="catching-up")


def test_a_relay_that_publishes_in_time_is_well() -> None:
    check_relay(LIVE)
    check_relay(replace(LIVE, lag_seconds=MAX_LAG_SECONDS, state="catching-up"))


def test_without_a_relay_nothing_is_published() -> None:
    with pytest.raises(NotRunning):
        check_relay(replace(LATE, state="stopped", rejected=3))


def test_a_late_relay_and_events_that_were_set_aside_need_an_operator() -> None:
    with pytest.raises(Degraded, match="30 s behind") as late:
        check_relay(LATE)
    with pytest.raises(Degraded, match="set aside") as refused:
        check_relay(replace(LIVE, rejected=1))
    with pytest.raises(Degraded) as both:
        check_relay(replace(LATE, rejected=10_000))
    assert str(both.value) == f"{late.value} {refused.value}"


def test_the_reason_is_the_same_at_each_look() -> None:
    texts = set[str]()
    for number in range(1, 5):
        with pytest.raises(Degraded) as found:
            check_relay(replace(LATE, lag_seconds=100.0 * number, rejected=number))
        texts.add(str(found.value))
    assert len(texts) == 1


def test_a_relay_that_was_behind_is_so_until_it_has_caught_up() -> None:
    assert is_behind(LATE)
    catching_up = replace(LATE, lag_seconds=5.0)
    assert not is_behind(catching_up)
    assert is_behind(catching_up, was_behind=True)
    assert not is_behind(LIVE, was_behind=True)
