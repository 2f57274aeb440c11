"""The relay over its ports: in order, at least once, and nothing stops the rest."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final
from uuid import UUID

import msgspec
import pytest
from structlog.testing import capture_logs

from application.errors import Unavailable
from application.log.event_log import Unreadable
from application.log.follower import NotLeading
from application.log.sealed import Sealed
from application.messaging import relay
from application.messaging.bus import Message
from application.messaging.relay import REFUSED, Progress, SetAside, run_relay
from domain.event import Event, Recorded
from infrastructure.doorbell.memory import MemoryDoorbell
from tests.support.doubles.bus import MemoryBus
from tests.support.doubles.relay_ledger import MemoryRelayLedger
from tests.support.log.feeds import ListFeed
from tests.support.run.background import at_work
from tests.support.views.histories import recorded

LOG_ID: Final = UUID("018f0000-0000-7000-8000-000000000001")


def sealed(position: int, version: int = 1) -> Recorded[Event]:
    event = Sealed(type="user.renamed", schema=1, fields={}, access="sealed", value="c2VhbGVk")
    return recorded(event, version, position)


EVENTS: Final = [sealed(n * 10, n) for n in range(1, 8)]


class Relaying:
    """A relay at work between a log, a bus and a ledger in memory."""

    def __init__(self, events: Sequence[Recorded[Event]] = EVENTS) -> None:
        self.feed = ListFeed(events, limit=3)
        self.bus = MemoryBus()
        self.ledger = MemoryRelayLedger()
        self.doorbell = MemoryDoorbell()

    @asynccontextmanager
    async def at_work(self) -> AsyncGenerator[None]:
        relay = run_relay(self.bus, self.ledger, self.feed, self.doorbell, LOG_ID)
        async with at_work(relay):
            yield

    async def reach(self, position: int) -> None:
        async with asyncio.timeout(5):
            while self.ledger.position < position:
                await asyncio.sleep(0.005)

    @property
    def positions(self) -> list[int]:
        return [message.position for message in self.bus.taken]


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay, "_PAUSES", (0.001,) * 5)


async def test_it_passes_on_every_event_once_and_in_order() -> None:
    relaying = Relaying()
    async with relaying.at_work():
        await relaying.reach(70)
    assert relaying.positions == [10, 20, 30, 40, 50, 60, 70]
    assert relaying.ledger.set_aside == []


async def test_a_message_says_which_event_it_is_and_where() -> None:
    relaying = Relaying([sealed(30, 4)])
    async with relaying.at_work():
        await relaying.reach(30)
    message = relaying.bus.taken[0]
    body = msgspec.json.decode(message.body)
    assert (str(message.event_id), str(message.stream)) == (body["id"], body["subject"])
    assert (message.type, message.position, message.version) == ("user.renamed", 30, 4)
    assert body["source"] == f"urn:uuid:{LOG_ID}"
    assert body["data"] == {"sealed": {"key": str(message.stream), "value": "c2VhbGVk"}}


async def test_a_refused_message_is_tried_again_without_its_page() -> None:
    relaying = Relaying()
    tries: list[int] = []

    def refuses(message: Message) -> bool:
        tries.append(message.position)
        return message.position == 20 and tries.count(20) < 4

    relaying.bus.refuses = refuses
    async with relaying.at_work():
        await relaying.reach(70)
    assert tries == [10, 20, 30, 20, 20, 20, 40, 50, 60, 70]
    assert relaying.positions == [10, 30, 20, 40, 50, 60, 70]
    assert relaying.ledger.set_aside == []


async def test_what_is_refused_five_times_more_is_set_aside_and_the_page_goes_on() -> None:
    relaying = Relaying()
    tries: list[int] = []

    def refuses(message: Message) -> bool:
        tries.append(message.position)
        return message.position == 20

    relaying.bus.refuses = refuses
    with capture_logs() as logs:
        async with relaying.at_work():
            await relaying.reach(70)
    assert tries.count(20) == 6
    assert relaying.positions == [10, 30, 40, 50, 60, 70]
    event = EVENTS[1]
    expected = SetAside(
        position=20,
        event_id=event.event_id,
        type="user.renamed",
        stream=event.stream,
        error=REFUSED,
    )
    assert relaying.ledger.set_aside == [expected]
    told = [entry for entry in logs if entry["event"] == "events_not_relayed"]
    assert [(entry["count"], entry["first"]) for entry in told] == [(1, 20)]


async def test_an_event_that_cannot_be_read_is_set_aside_with_its_reason() -> None:
    unreadable = recorded(Unreadable(type="user.renamed", reason="MalformedState"), 2, 20)
    relaying = Relaying([sealed(10), unreadable, sealed(30, 3)])
    async with relaying.at_work():
        await relaying.reach(30)
    assert relaying.positions == [10, 30]
    found = [(each.position, each.type, each.error) for each in relaying.ledger.set_aside]
    assert found == [(20, "user.renamed", "MalformedState")]


async def test_while_the_bus_is_away_the_checkpoint_stays_and_nobody_leads() -> None:
    relaying = Relaying()
    relaying.bus.is_away = True
    with capture_logs() as logs:
        async with relaying.at_work():
            await asyncio.sleep(0.5)
            assert relaying.ledger.position == 0
            async with asyncio.timeout(1), relaying.ledger.lead():
                pass
            relaying.bus.is_away = False
            await relaying.reach(70)
    assert relaying.positions == [10, 20, 30, 40, 50, 60, 70]
    assert [entry["event"] for entry in logs] == [
        "follower_waits",
        "relay_leads",
        "follower_goes_on",
    ]


async def test_a_bus_that_goes_is_missed_before_there_is_anything_to_pass_on() -> None:
    relaying = Relaying()
    with capture_logs() as logs:
        async with relaying.at_work():
            await relaying.reach(70)
            relaying.bus.is_away = True
            relaying.doorbell.ring("log")
            async with asyncio.timeout(5):
                while not any(entry["event"] == "follower_waits" for entry in logs):
                    await asyncio.sleep(0.01)


async def test_a_bus_that_goes_between_two_pages_is_waited_for() -> None:
    relaying = Relaying()

    def refuses(message: Message) -> bool:
        if message.position == 50 and not relaying.bus.is_away:
            relaying.bus.refuses = lambda _: False
            raise Unavailable
        return False

    relaying.bus.refuses = refuses
    async with relaying.at_work():
        await relaying.reach(70)
    assert sorted(set(relaying.positions)) == [10, 20, 30, 40, 50, 60, 70]
    assert relaying.positions[:3] == [10, 20, 30]


class Forgetful(MemoryRelayLedger):
    """Fails once between what was published and its checkpoint."""

    def __init__(self, failure: Exception) -> None:
        super().__init__()
        self._failure: Exception | None = failure

    @asynccontextmanager
    async def lead(self) -> AsyncGenerator[Progress]:
        async with super().lead() as progress:
            yield _Forgetful(self, progress)

    def fail(self) -> None:
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure


class _Forgetful:
    def __init__(self, ledger: Forgetful, progress: Progress) -> None:
        self._ledger = ledger
        self._progress = progress

    @property
    def position(self) -> int:
        return self._progress.position

    async def advance(self, reached: int, set_aside: Sequence[SetAside]) -> None:
        if reached == 60:
            self._ledger.fail()
        await self._progress.advance(reached, set_aside)


@pytest.mark.parametrize("failure", [Unavailable(), NotLeading(), LookupError("Zoë")])
async def test_a_page_whose_checkpoint_did_not_move_is_published_again(failure: Exception) -> None:
    relaying = Relaying()
    relaying.ledger = Forgetful(failure)
    with capture_logs() as logs:
        async with relaying.at_work():
            await relaying.reach(70)
    assert relaying.positions == [10, 20, 30, 40, 50, 60, 40, 50, 60, 70]
    ids = {message.event_id for message in relaying.bus.taken}
    assert len(ids) == len(EVENTS)
    assert "Zoë" not in str(logs)


async def test_of_two_relays_one_leads_and_the_other_takes_over() -> None:
    relaying = Relaying(EVENTS[:4])
    with capture_logs() as logs:
        async with AsyncExitStack() as first:
            await first.enter_async_context(relaying.at_work())
            async with relaying.at_work():
                await relaying.reach(40)
                assert [entry["event"] for entry in logs] == ["relay_leads"]
                await first.aclose()
                relaying.feed.events += EVENTS[4:]
                await relaying.reach(70)
    assert relaying.positions == [10, 20, 30, 40, 50, 60, 70]
