"""Token buckets: never more than the limit in any window, and never less for long."""

from time import perf_counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from application.access.limits_buckets import Buckets, Rate

RATE = Rate("test", per_second=10, burst=20)
PAUSES = st.lists(st.floats(0, 5, allow_subnormal=False), min_size=1, max_size=300)


class Clock:
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def buckets_at(clock: Clock, max_keys: int = 100) -> Buckets:
    return Buckets(RATE, max_keys, clock)


@settings(deadline=None)
@given(PAUSES, st.integers(1, 30), st.integers(1, 40))
def test_no_window_has_more_than_the_burst_and_the_rate(
    pauses: list[float], per_second: int, burst: int
) -> None:
    clock = Clock()
    buckets = Buckets(Rate("test", per_second, burst), clock=clock)
    taken: list[float] = []
    for pause in pauses:
        clock.now += pause
        if buckets.take("key") >= 0:
            taken.append(clock.now)
    for first, begin in enumerate(taken):
        for last in range(first, len(taken)):
            assert last - first + 1 <= burst + per_second * (taken[last] - begin) + 0.001


@settings(deadline=None)
@given(PAUSES)
def test_a_key_that_waits_as_long_as_it_is_told_is_admitted(pauses: list[float]) -> None:
    clock = Clock()
    buckets = buckets_at(clock)
    for pause in pauses:
        clock.now += pause
        left = buckets.take("key")
        if left < 0:
            clock.now += RATE.seconds(left)
            assert buckets.take("key") >= 0


def test_a_new_key_has_a_burst_and_then_the_rate() -> None:
    clock = Clock()
    buckets = buckets_at(clock)
    assert [buckets.take("key") for _ in range(20)] == list(range(19, -1, -1))
    left = buckets.take("key")
    assert left == -1
    assert RATE.seconds(left) == 0.1
    clock.now += 1
    assert sum(buckets.take("key") >= 0 for _ in range(20)) == 10


def test_keys_do_not_share() -> None:
    buckets = buckets_at(Clock())
    for _ in range(30):
        buckets.take("busy")
    assert buckets.take("quiet") == 19


def test_only_the_keys_used_last_are_kept() -> None:
    buckets = buckets_at(Clock(), max_keys=3)
    for _ in range(30):
        buckets.take("busy")
    for key in ("a", "b", "busy", "c", "d"):
        buckets.take(key)
    assert len(buckets) == 3
    assert buckets.take("busy") < 0
    assert buckets.take("a") == 19


def test_a_token_that_is_given_back_can_be_taken_again() -> None:
    buckets = buckets_at(Clock())
    for _ in range(20):
        buckets.take("key")
    buckets.give_back("key")
    assert [buckets.take("key") for _ in range(2)] == [0, -1]
    assert buckets.drain(1, 10) == {"key": 20}


def test_a_debit_is_paid_by_waiting_but_never_more_than_two_bursts() -> None:
    clock = Clock()
    buckets = buckets_at(clock)
    buckets.take("key")
    buckets.debit("key", 25)
    assert RATE.seconds(buckets.take("key")) == pytest.approx(0.7)
    buckets.debit("key", 10_000)
    assert RATE.seconds(buckets.take("key")) == pytest.approx(4.1)
    buckets.debit("unknown", 5)
    assert buckets.take("unknown") == 19


def test_a_drain_returns_the_most_active_keys_once() -> None:
    buckets = buckets_at(Clock())
    for key, count in (("a", 5), ("b", 9), ("c", 1), ("d", 3)):
        for _ in range(count):
            buckets.take(key)
    assert buckets.drain(2, 2) == {"b": 9, "a": 5}
    assert buckets.drain(1, 2) == {}


@pytest.mark.alone
def test_a_request_costs_less_than_five_microseconds() -> None:
    buckets = Buckets(Rate("test", 2000, 4000))
    keys = [f"token:{number:064x}" for number in range(1000)]
    for key in keys:
        buckets.take(key)
    times: list[float] = []
    for _ in range(20):
        began = perf_counter()
        for key in keys:
            buckets.take(key)
        times.append((perf_counter() - began) / len(keys))
    assert min(times) < 5e-6
