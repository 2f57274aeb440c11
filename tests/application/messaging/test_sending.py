"""Sending past a full queue: what is retried, and how many copies the other queues get."""

import asyncio
from collections.abc import Sequence
from typing import Final
from uuid import UUID

import pytest
from structlog.testing import capture_logs
from uuid_utils.compat import uuid7

from application.messaging import sending
from application.messaging.bus import Message
from application.messaging.sending import Sender, send_by_type
from tests.support.doubles.bus import MemoryBus

RETRIES: Final = 5


def message(position: int, type_: str = "user.renamed") -> Message:
    return Message(
        event_id=uuid7(), type=type_, stream=UUID(int=7), position=position, version=1, body=b"{}"
    )


def page(begin: int, count: int = 10) -> list[Message]:
    return [message(begin + n) for n in range(count)]


class CountingBus(MemoryBus):
    """Counts the copies that a healthy queue gets: those of refused messages, too."""

    def __init__(self) -> None:
        super().__init__()
        self.copies = 0

    async def publish(self, messages: Sequence[Message]) -> Sequence[Message]:
        self.copies += len(messages)
        return await super().publish(messages)


@pytest.fixture(autouse=True)
def short_times(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "_PAUSES", (0.001,) * RETRIES)
    monkeypatch.setattr(sending, "_QUIET_SECONDS", 0.05)


@pytest.fixture
def bus() -> CountingBus:
    return CountingBus()


@pytest.fixture
def sender(bus: CountingBus) -> Sender:
    return Sender(bus)


async def test_a_refused_page_is_retried_with_one_message_of_each_type(
    bus: CountingBus, sender: Sender
) -> None:
    bus.refuses = lambda _: True
    messages = [*page(1), message(20, "user.deleted")]
    assert await sender.send(messages) == messages
    assert bus.copies == len(messages) + RETRIES * 2


async def test_what_a_queue_refused_for_a_moment_arrives(bus: CountingBus, sender: Sender) -> None:
    messages = page(1)
    # The page and two retries with one message each are refused.
    bus.refuses = lambda _: bus.copies < len(messages) + 3
    assert await sender.send(messages) == []
    assert [each.position for each in bus.published] == list(range(1, 11))
    assert bus.copies == 2 * len(messages) + 2


async def test_one_type_that_is_refused_holds_up_no_other_type(
    bus: CountingBus, sender: Sender
) -> None:
    bus.refuses = lambda each: each.type == "user.deleted" or bus.copies <= 6
    messages = [message(n, ("user.deleted", "user.renamed")[n % 2]) for n in range(6)]
    refused = await sender.send(messages)
    assert [each.position for each in refused] == [0, 2, 4]
    assert [each.position for each in bus.published] == [1, 3, 5]


async def test_after_two_refused_pages_nothing_is_retried(bus: CountingBus, sender: Sender) -> None:
    bus.refuses = lambda each: each.position % 2 == 0
    for begin in (10, 20):
        await sender.send(page(begin))
    copies = bus.copies
    with capture_logs() as logs:
        for begin in range(30, 100, 10):
            refused = await sender.send(page(begin))
            assert [each.position for each in refused] == list(range(begin, begin + 10, 2))
    assert bus.copies == copies + 70
    assert logs == []


async def test_a_page_that_is_accepted_between_two_refused_ones_keeps_the_retries(
    bus: CountingBus, sender: Sender
) -> None:
    bus.refuses = lambda each: each.position < 20 or each.position >= 30
    for begin in (10, 20):
        await sender.send(page(begin))
    copies = bus.copies
    await sender.send(page(30))
    assert bus.copies == copies + 10 + RETRIES


@pytest.mark.parametrize("quiet", [False, True])
async def test_retries_begin_again_when_no_page_was_refused_for_a_while(
    bus: CountingBus, sender: Sender, quiet: bool
) -> None:
    bus.refuses = lambda _: True
    with capture_logs() as logs:
        for begin in (10, 20, 30):
            await sender.send(page(begin))
        bus.refuses = lambda _: False
        await asyncio.sleep(0.06 if quiet else 0)
        assert await sender.send(page(40)) == []
    bus.refuses = lambda _: True
    copies = bus.copies
    await sender.send(page(50))
    assert bus.copies == copies + 10 + (RETRIES if quiet else 0)
    assert [entry["event"] for entry in logs] == ["queue_full", "queue_has_room"][: 1 + quiet]


async def test_a_type_that_is_always_refused_is_not_retried_though_it_is_rare(
    bus: CountingBus, sender: Sender
) -> None:
    bus.refuses = lambda each: each.type == "user.deleted"
    for begin in (10, 30, 50, 70):
        await sender.send([*page(begin), message(begin + 10, "user.deleted")])
        await sender.send(page(begin + 11, 9))
    assert bus.copies == 4 * 20 + 2 * RETRIES
    bus.refuses = lambda each: each.type == "user.renamed"
    copies = bus.copies
    await sender.send(page(90))
    assert bus.copies == copies + 10 + RETRIES


async def test_a_page_without_messages_says_nothing_about_the_queues(
    bus: CountingBus, sender: Sender
) -> None:
    bus.refuses = lambda _: True
    await sender.send(page(10))
    assert await sender.send([]) == []
    await sender.send(page(20))
    copies = bus.copies
    await sender.send(page(30))
    assert bus.copies == copies + 10


@pytest.mark.parametrize(
    ("refuses", "published"),
    [([], [1, 2, 3, 4]), ([1, 2, 3, 4], []), ([3, 4], [1, 2]), ([2], [1, 3, 4]), ([1], [3, 4])],
)
async def test_messages_are_sent_by_type(
    bus: CountingBus, refuses: list[int], published: list[int]
) -> None:
    bus.refuses = lambda each: each.position in refuses
    messages = [message(1, "a"), message(2, "a"), message(3, "b"), message(4, "b")]
    left = await send_by_type(bus, messages)
    assert sorted(each.position for each in bus.published) == published
    assert [each.position for each in left] == [n for n in (1, 2, 3, 4) if n not in published]
