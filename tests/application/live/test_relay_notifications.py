"""What people hear of the relay: each change once, and few messages however many events are refused."""

from hypothesis import given
from hypothesis import strategies as st

from application.live.relay_notifications import RelayState, relay_notices

WELL = RelayState()
states = st.builds(RelayState, st.integers(0, 10_000), st.booleans())


def messages(known: RelayState, now: RelayState) -> list[tuple[str, str]]:
    return [(each.severity, each.message) for each in relay_notices(known, now)]


def test_the_first_event_that_is_set_aside_and_the_end_of_it_are_told() -> None:
    one = RelayState(1)
    assert messages(WELL, one) == [("warning", "relay: 1 event was set aside")]
    assert messages(one, WELL) == [("success", "relay: no event is set aside any more")]


def test_a_late_relay_and_its_recovery_are_told() -> None:
    late = RelayState(is_behind=True)
    assert messages(WELL, late) == [("warning", "relay: events reach RabbitMQ late")]
    assert messages(late, WELL) == [("success", "relay: events reach RabbitMQ in time again")]


def test_a_queue_that_refuses_everything_for_hours_causes_five_messages() -> None:
    known, sent = WELL, list[str]()
    for rejected in range(1, 10_001):
        now = RelayState(rejected)
        sent += [message for _, message in messages(known, now)]
        known = now
    assert [message.split()[1] for message in sent] == ["1", "10", "100", "1,000", "10,000"]


@given(states)
def test_the_same_state_is_told_once(state: RelayState) -> None:
    assert relay_notices(state, state) == []


@given(states, states)
def test_no_warning_is_sent_when_things_get_better(known: RelayState, now: RelayState) -> None:
    if now.rejected <= known.rejected and now.is_behind <= known.is_behind:
        assert all(each.severity == "success" for each in relay_notices(known, now))
