"""Publishing again what was set aside: a record ends only when its event was accepted."""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

import pytest
from structlog.testing import capture_logs

from application.errors import Unavailable
from application.jobs.model import JobFailed, JobRun
from application.jobs.relay_replay import relay_replay_jobs
from application.log.event_log import Unreadable
from application.log.sealed import Sealed
from application.messaging import rejected
from application.messaging.rejected import Replayed, replay
from application.messaging.relay import REFUSED, SetAside
from domain.event import Event, Recorded
from tests.support.doubles.bus import MemoryBus
from tests.support.doubles.relay_ledger import MemoryRelayLedger
from tests.support.views.histories import recorded

LOG_ID: Final = UUID("018f0000-0000-7000-8000-000000000001")
POSITIONS: Final = [10, 20, 30, 40, 50]


def stored(position: int, *, readable: bool = True) -> Recorded[Event]:
    sealed = Sealed(type="user.renamed", schema=1, fields={}, access="sealed", value=b"sealed")
    event = sealed if readable else Unreadable(type="user.later", reason="UnknownTopic")
    return recorded(event, 1, position)


class Log:
    """See `SealedEvents`."""

    def __init__(self, events: Sequence[Recorded[Event]]) -> None:
        self.events = events

    async def at(self, positions: Sequence[int]) -> Sequence[Recorded[Event]]:
        return [each for each in self.events if each.position in positions]


class Replaying:
    """A log whose events were all set aside, and a bus that accepts them again."""

    def __init__(self) -> None:
        self.bus = MemoryBus()
        self.ledger = MemoryRelayLedger()
        self.log = Log([stored(position) for position in POSITIONS])
        self.ledger.position = POSITIONS[-1]
        self.ledger.set_aside = [set_aside(each) for each in self.log.events]
        self.reported: list[int] = []

    async def replay(self) -> Replayed:
        async def report(done: int) -> None:
            self.reported.append(done)

        return await replay(self.bus, self.ledger, self.log, LOG_ID, report)

    @property
    def left(self) -> list[int]:
        return [each.position for each in self.ledger.set_aside]

    @property
    def published(self) -> list[int]:
        return [message.position for message in self.bus.published]


def set_aside(event: Recorded[Event]) -> SetAside:
    return SetAside(
        position=event.position,
        event_id=event.event_id,
        type="user.renamed",
        stream=event.stream,
        error=REFUSED,
    )


@pytest.fixture
def replaying(monkeypatch: pytest.MonkeyPatch) -> Replaying:
    monkeypatch.setattr(rejected, "_PAGE", 2)
    return Replaying()


async def test_all_events_that_were_set_aside_are_published(replaying: Replaying) -> None:
    assert await replaying.replay() == Replayed(sent=5)
    assert replaying.published == POSITIONS
    assert replaying.left == []
    assert replaying.reported == [2, 4, 5]
    ids = [message.event_id for message in replaying.bus.published]
    assert ids == [event.event_id for event in replaying.log.events]


async def test_an_event_that_is_refused_again_stays(replaying: Replaying) -> None:
    replaying.bus.refuses = lambda message: message.position == 40
    assert await replaying.replay() == Replayed(sent=4, refused=1)
    assert replaying.left == [40]
    replaying.bus.refuses = lambda _: False
    assert await replaying.replay() == Replayed(sent=1)
    assert sorted(replaying.published) == POSITIONS


async def test_an_event_that_still_cannot_be_read_stays_until_a_release_can(
    replaying: Replaying,
) -> None:
    events = replaying.log.events
    replaying.log.events = [stored(20, readable=False), *(events[n] for n in (0, 2, 3, 4))]
    assert await replaying.replay() == Replayed(sent=4, unreadable=1)
    assert replaying.left == [20]
    replaying.log.events = events
    assert await replaying.replay() == Replayed(sent=1)
    assert replaying.left == []


async def test_events_that_are_set_aside_meanwhile_are_left_to_the_next_replay(
    replaying: Replaying,
) -> None:
    replaying.bus.refuses = lambda message: _grow(replaying, message.position)
    assert (await replaying.replay()).refused == 5
    assert replaying.left[:5] == POSITIONS
    assert min(replaying.left[5:]) > 1000


def _grow(replaying: Replaying, position: int) -> bool:
    """Refuses each event, while the relay sets another one aside."""
    later = stored(1000 + position)
    if later.position not in replaying.left:
        replaying.ledger.set_aside.append(set_aside(later))
    return True


@pytest.mark.parametrize("published", range(1, 6))
async def test_a_replay_that_is_interrupted_loses_nothing(
    replaying: Replaying, published: int
) -> None:
    def refuses(_: object) -> bool:
        if len(replaying.bus.published) >= published - 1:
            raise Unavailable
        return False

    replaying.bus.refuses = refuses
    with pytest.raises(Unavailable):
        await replaying.replay()
    assert set(replaying.published) | set(replaying.left) == set(POSITIONS)
    replaying.bus.refuses = lambda _: False
    await replaying.replay()
    assert set(replaying.published) == set(POSITIONS)
    assert replaying.left == []


async def test_a_replay_in_a_worker_without_a_bus_fails_with_the_reason(
    replaying: Replaying,
) -> None:
    kind = relay_replay_jobs(None, replaying.ledger, replaying.log, LOG_ID)
    with pytest.raises(JobFailed, match="ROLLBOOK_AMQP_URL"):
        await kind.run(JobRun(UUID(int=1), {}, "token:admin", 1))
    assert replaying.left == POSITIONS
    await replaying.ledger.remove(POSITIONS)
    assert (await kind.run(JobRun(UUID(int=1), {}, "token:admin", 1)))["sent"] == 0


async def test_each_event_that_is_published_again_has_a_line_in_the_log() -> None:
    replaying = Replaying()
    replaying.bus.refuses = lambda message: message.position == 30
    with capture_logs() as logs:
        await replaying.replay()
    lines = [entry for entry in logs if entry["event"] == "event_replayed"]
    # A refusal of the first of a type counts for the others of that type.
    assert [entry["position"] for entry in lines] == [10, 20, 40, 50]
    assert {entry["log_level"] for entry in lines} == {"info"}
    first = replaying.log.events[0]
    assert lines[0]["event_id"] == str(first.event_id)
    assert lines[0]["correlation_id"] == first.correlation_id
