"""The relay over its ports: in order, at least once, and one failure does not stop the rest."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final
from uuid import UUID

import msgspec
import pytest
from structlog.testing import capture_logs
from structlog.typing import EventDict

from application.errors import Unavailable
from application.log.event_log import Unreadable
from application.log.follower import NotLeading
from application.log.sealed import Sealed
from application.messaging import sending
from application.messaging.bus import Message
from application.messaging.relay import REFUSED, Progress, SetAside, run_relay
from domain.event import Event, Recorded
from infrastructure.doorbell.memory import MemoryDoorbell
from tests.support.doubles.bus import MemoryBus
from tests.support.doubles.relay_ledger import MemoryRelayLedger
from tests.support.log.feeds import ListFeed
from tests.support.run.background import in_background
from tests.support.views.histories import recorded

LOG_ID: Final = UUID("018f0000-0000-7000-8000-000000000001")


def sealed(position: int, version: int = 1) -> Recorded[Event]:
    event = Sealed(type="user.renamed", schema=1, fields={}, access="sealed", value=b"sealed")
    return recorded(event, version, position)


EVENTS: Final = [sealed(n * 10, n) for n in range(1, 8)]


class Relaying:
    """A relay between a log, a bus and a ledger in memory."""

    def __init__(self, events: Sequence[Recorded[Event]] = EVENTS) -> None:
        self.feed = ListFeed(events, limit=3)
        self.bus = MemoryBus()
        self.ledger = MemoryRelayLedger()
        self.doorbell = MemoryDoorbell()

    @asynccontextmanager
    async def in_background(self) -> AsyncGenerator[None]:
        relay = run_relay(self.bus, self.ledger, self.feed, self.doorbell, LOG_ID)
        async with in_background(relay):
            yield

    async def reach(self, position: int) -> None:
        async with asyncio.timeout(5):
            while self.ledger.position < position:
                await asyncio.sleep(0.005)

    @property
    def positions(self) -> list[int]:
        return [message.position for message in self.bus.published]


def lines(logs: Sequence[EventDict]) -> list[str]:
    """The lines that are not for each event."""
    return [entry["event"] for entry in logs if entry["log_level"] != "debug"]


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "_PAUSES", (0.001,) * 5)


async def test_the_relay_publishes_every_event_once_and_in_order() -> None:
    relaying = Relaying()
    async with relaying.in_background():
        await relaying.reach(70)
    assert relaying.positions == [10, 20, 30, 40, 50, 60, 70]
    assert relaying.ledger.set_aside == []


async def test_a_message_carries_the_event_and_its_place() -> None:
    relaying = Relaying([sealed(30, 4)])
    async with relaying.in_background():
        await relaying.reach(30)
    message = relaying.bus.published[0]
    body = msgspec.json.decode(message.body)
    assert (str(message.event_id), str(message.stream)) == (body["id"], body["subject"])
    assert (message.type, message.position, message.version) == ("user.renamed", 30, 4)
    assert body["source"] == f"urn:uuid:{LOG_ID}"
    assert body["data"] == {"sealed": {"key": str(message.stream), "value": "c2VhbGVk"}}


async def test_a_refused_message_is_retried_without_the_rest_of_its_page() -> None:
    relaying = Relaying()
    attempts: list[int] = []

    def refuses(message: Message) -> bool:
        attempts.append(message.position)
        return message.position == 20 and attempts.count(20) < 4

    relaying.bus.refuses = refuses
    async with relaying.in_background():
        await relaying.reach(70)
    assert attempts == [10, 20, 30, 20, 20, 20, 40, 50, 60, 70]
    assert relaying.positions == [10, 30, 20, 40, 50, 60, 70]
    assert relaying.ledger.set_aside == []


async def test_a_message_refused_after_five_retries_is_set_aside() -> None:
    relaying = Relaying()
    attempts: list[int] = []

    def refuses(message: Message) -> bool:
        attempts.append(message.position)
        return message.position == 20

    relaying.bus.refuses = refuses
    with capture_logs() as logs:
        async with relaying.in_background():
            await relaying.reach(70)
    assert attempts.count(20) == 6
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
    logged = [entry for entry in logs if entry["event"] == "events_not_relayed"]
    assert [(entry["count"], entry["first"]) for entry in logged] == [(1, 20)]


async def test_many_pages_with_refused_messages_are_reported_in_few_lines() -> None:
    relaying = Relaying([sealed(n, n) for n in range(1, 100)])
    relaying.bus.refuses = lambda _: True
    with capture_logs() as logs:
        async with relaying.in_background():
            await relaying.reach(99)
    logged = [entry for entry in logs if entry["event"] == "events_not_relayed"]
    assert [(entry["count"], entry["first"]) for entry in logged] == [(3, 1), (96, 4)]


async def test_an_event_that_cannot_be_read_is_set_aside_with_its_reason() -> None:
    unreadable = recorded(Unreadable(type="user.renamed", reason="MalformedState"), 2, 20)
    relaying = Relaying([sealed(10), unreadable, sealed(30, 3)])
    async with relaying.in_background():
        await relaying.reach(30)
    assert relaying.positions == [10, 30]
    found = [(each.position, each.type, each.error) for each in relaying.ledger.set_aside]
    assert found == [(20, "user.renamed", "MalformedState")]


async def test_while_the_bus_is_down_the_checkpoint_stays_and_no_relay_leads() -> None:
    relaying = Relaying()
    relaying.bus.is_unavailable = True
    with capture_logs() as logs:
        async with relaying.in_background():
            await asyncio.sleep(0.5)
            assert relaying.ledger.position == 0
            async with asyncio.timeout(1), relaying.ledger.lead():
                pass
            relaying.bus.is_unavailable = False
            await relaying.reach(70)
    assert relaying.positions == [10, 20, 30, 40, 50, 60, 70]
    assert lines(logs) == [
        "follower_waits",
        "relay_leads",
        "follower_goes_on",
    ]


async def test_a_lost_bus_is_noticed_without_anything_to_publish() -> None:
    relaying = Relaying()
    with capture_logs() as logs:
        async with relaying.in_background():
            await relaying.reach(70)
            relaying.bus.is_unavailable = True
            relaying.doorbell.ring("log")
            async with asyncio.timeout(5):
                while not any(entry["event"] == "follower_waits" for entry in logs):
                    await asyncio.sleep(0.01)


async def test_the_relay_waits_for_a_bus_that_is_lost_between_two_pages() -> None:
    relaying = Relaying()

    def refuses(message: Message) -> bool:
        if message.position == 50 and not relaying.bus.is_unavailable:
            relaying.bus.refuses = lambda _: False
            raise Unavailable
        return False

    relaying.bus.refuses = refuses
    async with relaying.in_background():
        await relaying.reach(70)
    assert sorted(set(relaying.positions)) == [10, 20, 30, 40, 50, 60, 70]
    assert relaying.positions[:3] == [10, 20, 30]


class FailingLedger(MemoryRelayLedger):
    """Fails once after a page was published and before its checkpoint moves."""

    def __init__(self, failure: Exception) -> None:
        super().__init__()
        self._failure: Exception | None = failure

    @asynccontextmanager
    async def lead(self) -> AsyncGenerator[Progress]:
        async with super().lead() as progress:
            yield _FailingProgress(self, progress)

    def fail(self) -> None:
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure


class _FailingProgress:
    def __init__(self, ledger: FailingLedger, progress: Progress) -> None:
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
    relaying.ledger = FailingLedger(failure)
    with capture_logs() as logs:
        async with relaying.in_background():
            await relaying.reach(70)
    assert relaying.positions == [10, 20, 30, 40, 50, 60, 40, 50, 60, 70]
    ids = {message.event_id for message in relaying.bus.published}
    assert len(ids) == len(EVENTS)
    assert "Zoë" not in str(logs)


async def test_one_of_two_relays_leads_and_the_other_takes_over() -> None:
    relaying = Relaying(EVENTS[:4])
    with capture_logs() as logs:
        async with AsyncExitStack() as first:
            await first.enter_async_context(relaying.in_background())
            async with relaying.in_background():
                await relaying.reach(40)
                assert lines(logs) == ["relay_leads"]
                await first.aclose()
                relaying.feed.events += EVENTS[4:]
                await relaying.reach(70)
    assert relaying.positions == [10, 20, 30, 40, 50, 60, 70]
