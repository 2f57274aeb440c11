"""A save that was interrupted may have been carried out; nothing is saved past it."""

import asyncio
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from uuid import UUID

import pytest

from application.errors import Unavailable
from application.webhooks.delivery_ledger import Begun, Checkpoint, Saved
from application.webhooks.delivery_ports import Answer, ParkedUser
from application.webhooks.health import Health
from application.webhooks.unsaved import SAVED_ATTEMPTS, Unsaved
from tests.application.webhooks.test_delivery_queue import event

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ANNA = UUID(int=1)
PARKED = ParkedUser(
    user=ANNA, position=2, tries=1, error="http-500", parked_at=NOW, next_attempt_at=NOW
)


class Store:
    """Keeps what is saved; it may be away, or answer only after a release."""

    def __init__(self) -> None:
        self.saved: list[Saved] = []
        self.is_away = False
        self.answers = asyncio.Event()
        self.answers.set()

    async def begin(self, after: int) -> Begun:
        raise NotImplementedError

    async def save(self, saved: Saved) -> None:
        if self.is_away:
            raise Unavailable
        await self.answers.wait()
        self.saved.append(saved)

    async def renew(self, checkpoint: Checkpoint, replay_after: int | None) -> None:
        raise NotImplementedError

    async def due(
        self, now: datetime, limit: int, without: Collection[UUID]
    ) -> Sequence[ParkedUser]:
        raise NotImplementedError


def unsaved_in(store: Store) -> Unsaved:
    return Unsaved(store, Checkpoint(position=1), Health())


async def test_nothing_is_saved_past_an_interrupted_save() -> None:
    store = Store()
    unsaved = unsaved_in(store)
    unsaved.park(PARKED)
    store.answers.clear()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.02):
            await unsaved.save(Checkpoint(position=2), Health())
    store.answers.set()
    await unsaved.save(Checkpoint(position=3), Health(failures=1))
    assert store.saved == []
    assert set(unsaved.users) == {ANNA}
    await unsaved.save_interrupted()
    await unsaved.save(Checkpoint(position=3), Health(failures=1))
    assert [each.checkpoint.position for each in store.saved] == [2, 3]
    assert store.saved[0].parked == {ANNA: PARKED}


async def test_a_save_is_repeated_with_the_same_content_until_the_store_is_back() -> None:
    store = Store()
    unsaved = unsaved_in(store)
    for number in range(SAVED_ATTEMPTS):
        unsaved.note(event(number + 2, ANNA), Answer(status=204, seconds=0.1), NOW, 1)
    assert unsaved.full.is_set()
    store.is_away = True
    saving = asyncio.create_task(unsaved.save(Checkpoint(position=60), Health()))
    await asyncio.sleep(0.02)
    unsaved.note(event(99, ANNA), Answer(status=500, seconds=0.1), NOW, 1)
    unsaved.unpark(ANNA)
    store.is_away = False
    await saving
    await unsaved.save(Checkpoint(position=61), Health())
    first, second = store.saved
    assert (first.delivered, first.failed, len(first.attempts)) == (SAVED_ATTEMPTS, 0, 50)
    assert (second.delivered, second.failed, second.parked) == (0, 1, {ANNA: None})
    assert [each.number for each in second.attempts] == [1]


async def test_a_position_alone_is_saved_rarely() -> None:
    store = Store()
    unsaved = unsaved_in(store)
    for position in range(2, 12):
        await unsaved.save(Checkpoint(position=position), Health())
    assert [each.checkpoint.position for each in store.saved] == [6, 11]
