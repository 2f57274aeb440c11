"""An outage pauses an endpoint and parks a handful of users; one wrong user is parked alone."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from application.webhooks.health import (
    GIVES_UP,
    IN_FLIGHT,
    LONGEST_SECONDS,
    MAX_PARKED,
    PARKED_TRIES,
    Health,
    Verdict,
    failed,
    parked_delay,
    renewed,
    succeeded,
)

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
ANNA, BERT, CARL = (UUID(int=number) for number in (1, 2, 3))


def fail(
    health: Health,
    user: UUID,
    at: float = 0,
    *,
    parked: int = 0,
    is_probe: bool = False,
    is_alone: bool = False,
) -> tuple[Health, Verdict]:
    return failed(
        health,
        user,
        BEGAN + timedelta(seconds=at),
        chance=1,
        parked=parked,
        is_probe=is_probe,
        is_alone=is_alone,
    )


def works_for(*users: UUID, at: float = 0) -> Health:
    health = Health()
    for user in users:
        health = succeeded(health, user, BEGAN + timedelta(seconds=at))
    return health


def test_a_user_who_fails_while_another_succeeds_is_parked_at_once() -> None:
    health, verdict = fail(works_for(ANNA), BERT, at=29)
    assert (verdict, health.is_down) == ("park", False)


def test_an_older_success_says_nothing() -> None:
    health, verdict = fail(works_for(ANNA), BERT, at=31)
    assert (verdict, health.is_down) == ("wait", True)


def test_a_success_of_the_same_user_says_nothing_about_the_user() -> None:
    assert fail(works_for(ANNA), ANNA, at=1)[1] == "wait"
    assert fail(works_for(BERT, ANNA), ANNA, at=1)[1] == "park"


def test_an_outage_parks_fewer_users_than_deliveries_are_in_flight() -> None:
    health, verdicts = works_for(ANNA), list[Verdict]()
    for number in range(10, 10 + 2 * IN_FLIGHT):
        health, verdict = fail(health, UUID(int=number), at=1)
        verdicts.append(verdict)
    assert verdicts.count("park") == IN_FLIGHT - 1
    assert health.is_down
    assert health.probes == 1, "deliveries that were in flight are no probes"


def test_with_a_thousand_parked_users_the_endpoint_is_down() -> None:
    assert fail(works_for(ANNA), BERT, at=1, parked=MAX_PARKED - 1)[1] == "park"
    assert fail(works_for(ANNA), BERT, at=1, parked=MAX_PARKED)[1] == "wait"


def test_the_delay_grows_from_a_second_to_an_hour_and_ends_after_a_day() -> None:
    health, now, delays = Health(), BEGAN, list[float]()
    verdict: Verdict = "wait"
    while verdict == "wait":
        health, verdict = failed(health, ANNA, now, chance=1, parked=0, is_probe=health.is_down)
        if verdict == "wait":
            assert health.next_attempt_at is not None
            delays.append((health.next_attempt_at - now).total_seconds())
            now = health.next_attempt_at
    assert verdict == "give-up"
    assert delays[:5] == [1, 2, 4, 8, 16]
    assert max(delays) == LONGEST_SECONDS
    assert now - BEGAN == GIVES_UP


def test_a_long_time_without_events_does_not_count_as_failing() -> None:
    health, _ = fail(works_for(ANNA), BERT)
    health, verdict = fail(health, BERT, at=3 * 86_400)
    assert verdict == "wait"


def test_a_change_of_the_webhook_lets_it_be_tried_at_once_and_for_another_day() -> None:
    health, _ = fail(Health(), ANNA)
    assert not renewed(health).is_down
    assert fail(renewed(health), ANNA, at=86_400)[1] == "wait"


def test_one_user_is_parked_for_each_outage_if_no_other_can_be_probed() -> None:
    health, first = fail(Health(), ANNA)
    health, second = fail(health, ANNA, at=1, is_probe=True, is_alone=True)
    health, third = fail(health, BERT, at=3, is_probe=True, is_alone=True)
    assert (first, second, third) == ("wait", "park", "wait")


def test_a_parked_user_is_tried_for_about_a_day() -> None:
    for chance, hours in ((0.0, 17), (1.0, 23)):
        delays = [parked_delay(tries, chance) for tries in range(1, PARKED_TRIES + 1)]
        assert delays.pop() is None
        total = sum((delay for delay in delays if delay is not None), timedelta())
        assert timedelta(hours=hours) < total < timedelta(days=1)


@given(st.integers(1, 10_000), st.floats(0, 1))
def test_no_number_of_failures_overflows(failures: int, chance: float) -> None:
    health = Health(probes=failures, failures=failures, next_attempt_at=BEGAN, failing_since=BEGAN)
    health, _ = failed(health, ANNA, BEGAN, chance=chance, parked=0, is_probe=True)
    assert health.next_attempt_at is not None
    assert BEGAN < health.next_attempt_at <= BEGAN + timedelta(seconds=LONGEST_SECONDS)


class Endpoint(RuleBasedStateMachine):
    """Any succession of answers."""

    def __init__(self) -> None:
        super().__init__()
        self.health = Health()
        self.now = BEGAN
        self.parked = 0
        self.parked_in_a_row = 0

    @rule(seconds=st.floats(0, 7200))
    def time_goes_by(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    @rule(user=st.sampled_from([ANNA, BERT, CARL]))
    def success(self, user: UUID) -> None:
        self.health = succeeded(self.health, user, self.now)
        self.parked_in_a_row = 0
        assert not self.health.is_down

    @rule(
        user=st.sampled_from([ANNA, BERT, CARL]),
        is_alone=st.booleans(),
        chance=st.floats(0, 1),
        is_probe=st.booleans(),
    )
    def failure(self, user: UUID, is_alone: bool, chance: float, is_probe: bool) -> None:
        was_down = self.health.is_down
        is_probe = is_probe and was_down
        before = self.health.next_attempt_at
        self.health, verdict = failed(
            self.health,
            user,
            self.now,
            chance=chance,
            parked=self.parked,
            is_probe=is_probe,
            is_alone=is_alone and is_probe,
        )
        if verdict == "park":
            self.parked_in_a_row += 1
        if verdict == "give-up":
            assert was_down
            self.health = renewed(self.health)
        if was_down and not is_probe:
            assert (verdict, self.health.next_attempt_at) == ("wait", before)

    @invariant()
    def an_outage_parks_a_handful(self) -> None:
        # One of them if nothing else could be probed.
        assert self.parked_in_a_row <= IN_FLIGHT

    @invariant()
    def an_endpoint_is_down_since_some_time_until_some_time(self) -> None:
        assert (self.health.failing_since is None) == (self.health.next_attempt_at is None)


TestEndpoint = Endpoint.TestCase
