"""Log lines about single events: all of them on demand, and few while a queue refuses everything."""

import logging

import pytest
from structlog import configure, get_config, make_filtering_bound_logger
from structlog.testing import capture_logs

from application.messaging import sending
from application.messaging.relay import REFUSED
from tests.application.messaging.test_relay import EVENTS, Relaying, sealed


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "_PAUSES", (0.001,) * 5)


async def test_each_event_can_be_followed_through_the_log_of_the_process() -> None:
    relaying = Relaying()
    relaying.bus.refuses = lambda message: message.position == 20
    with capture_logs() as logs:
        async with relaying.in_background():
            await relaying.reach(70)
    relayed = [entry for entry in logs if entry["event"] == "event_relayed"]
    assert [entry["position"] for entry in relayed] == [10, 30, 40, 50, 60, 70]
    assert {entry["log_level"] for entry in relayed} == {"debug"}
    (refused,) = [entry for entry in logs if entry["event"] == "event_set_aside"]
    assert refused == {
        "event": "event_set_aside",
        "log_level": "warning",
        "event_id": str(EVENTS[1].event_id),
        "position": 20,
        "type": "user.renamed",
        "correlation_id": "test",
        "error": REFUSED,
    }


async def test_of_many_refused_events_a_few_have_a_line_of_their_own() -> None:
    relaying = Relaying([sealed(n, n) for n in range(1, 100)])
    relaying.bus.refuses = lambda _: True
    with capture_logs() as logs:
        async with relaying.in_background():
            await relaying.reach(99)
    lines = [entry["position"] for entry in logs if entry["event"] == "event_set_aside"]
    assert lines == list(range(1, 21))


async def test_without_debug_lines_no_line_is_made_for_an_event() -> None:
    relaying = Relaying()
    level = make_filtering_bound_logger(logging.INFO)
    before = get_config()
    configure(wrapper_class=level)
    try:
        with capture_logs() as logs:
            async with relaying.in_background():
                await relaying.reach(70)
    finally:
        configure(**before)
    assert [entry["event"] for entry in logs] == ["relay_leads"]
