"""Loading users from snapshots: reads, offered snapshots, and the timeout."""

from collections.abc import Sequence
from random import Random
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from uuid_utils.compat import uuid7

from application.context import Context, IdempotencyKey
from application.errors import Unavailable
from application.log.event_log import (
    WHOLE,
    Draft,
    LoadedStream,
    StreamKey,
    StreamRange,
    StreamSnapshot,
)
from application.users import history as user_history
from application.users.history import UserHistory
from application.users.service import UserService
from application.users.snapshots import SNAPSHOT_FORMAT
from application.users.states import ErasedAt, UserAt
from domain.user.commands import ChangeUser
from domain.user.events import PreviousName, UserRenamed
from domain.values import PersonName, Role
from tests.support.doubles.event_log import InMemoryEventLog
from tests.support.log.drafts import change, context, erasure, registration
from tests.support.log.snapshot_model import DroppingSnapshots, Step, World, histories


class CountedLog(InMemoryEventLog):
    """Counts the loads, the events that they returned, and the snapshots offered."""

    def __init__(self) -> None:
        super().__init__(uuid7)
        self.loads = 0
        self.events_read = 0
        self.offered: list[int] = []

    async def load(
        self,
        stream: UUID,
        stream_range: StreamRange = WHOLE,
        *,
        actor: str = "",
        idempotency: IdempotencyKey | None = None,
    ) -> LoadedStream:
        loaded = await super().load(stream, stream_range, actor=actor, idempotency=idempotency)
        self.loads += 1
        self.events_read += len(loaded.events)
        return loaded

    def offer(self, snapshots: Sequence[StreamSnapshot], key: StreamKey) -> None:
        self.offered += [snapshot.version for snapshot in snapshots]
        super().offer(snapshots, key)


def renamed(version: int) -> UserRenamed:
    return UserRenamed(name=f"N {version}", previous=PreviousName(f"N {version - 1}"))


async def user_with(log: InMemoryEventLog, versions: int) -> UUID:
    draft = registration()
    await log.append(draft)
    events = [renamed(version) for version in range(2, versions + 1)]
    if events:
        await log.append(change(draft.stream, 1, *events))
    return draft.stream


async def state(history: UserHistory, user_id: UUID, version: int | None = None) -> UserAt:
    found = (await history.load(user_id, version=version)).state
    assert isinstance(found, UserAt)
    return found


@given(life=histories, every=st.integers(1, 4), random=st.randoms(use_true_random=False))
async def test_a_user_is_the_same_with_and_without_snapshots(
    life: tuple[list[Step], bool], every: int, random: Random
) -> None:
    log = InMemoryEventLog(uuid7)

    async def delete_all() -> None:
        log._snapshots.clear()  # pyright: ignore[reportPrivateUsage]

    dropping = DroppingSnapshots(log, lambda: random.random() < 0.7)
    steps, erased = life
    await World(log, dropping, delete_all, every=every).run(steps, erased=erased)


async def test_a_snapshot_is_offered_once_at_every_interval() -> None:
    log = CountedLog()
    users = UserService(log, log, snapshot_every=4)
    user_id = await user_with(log, 3)
    for number in range(6):
        both = ChangeUser(name=PersonName.parse(f"N {number}"), role=Role.parse(f"r{number}"))
        await users.execute(user_id, both, context())
    assert (await users.user_at(user_id)).version == 15
    assert log.offered == [4, 8, 12]


async def test_no_more_than_one_interval_of_a_stream_is_read() -> None:
    log = CountedLog()
    history = UserHistory(log, log, every=16)
    user_id = await user_with(log, 1000)
    await state(history, user_id)
    for version in (1, 15, 16, 17, 500, 511, 512, 999, 1000):
        log.loads = log.events_read = 0
        assert (await state(history, user_id, version)).user.name == (
            f"N {version}" if version > 1 else "Åsa Öberg"
        )
        assert (version, log.loads) == (version, 1)
        assert log.events_read == version % 16


async def test_a_stream_without_snapshots_is_read_in_pages_and_gets_all_snapshots() -> None:
    log = CountedLog()
    history = UserHistory(log, log, every=64)
    user_id = await user_with(log, 3000)
    assert (await state(history, user_id, version=2990)).user.name == "N 2990"
    assert log.loads == 1 + 3
    assert log.events_read == 2990
    assert log.offered == [*range(64, 2990, 64)]


@pytest.mark.parametrize("unusable", [None, b"", b"{", b'{"name":1}', b'{"name":"\xff"}'])
async def test_an_unusable_snapshot_is_skipped_and_replaced(
    unusable: bytes | None,
) -> None:
    log = CountedLog()
    history = UserHistory(log, log, every=4)
    user_id = await user_with(log, 11)
    expected = await state(history, user_id)
    good = (await log.load(user_id, StreamRange(snapshot_format=SNAPSHOT_FORMAT))).snapshot
    key = (await log.load(user_id)).key
    assert good is not None
    assert key is not None
    log.offer([replace(good, state=unusable)], key)
    log.offered.clear()
    for _ in range(2):
        assert await state(history, user_id) == expected
    assert log.offered == [8]
    assert (await log.load(user_id, StreamRange(snapshot_format=SNAPSHOT_FORMAT))).snapshot == good


async def test_many_unusable_snapshots_are_skipped_in_a_few_loads() -> None:
    log = CountedLog()
    history = UserHistory(log, log, every=2)
    user_id = await user_with(log, 1000)
    expected = await state(history, user_id)
    loaded = await log.load(user_id, StreamRange(snapshot_format=SNAPSHOT_FORMAT))
    assert loaded.snapshot is not None
    assert loaded.key is not None
    unusable = [
        replace(loaded.snapshot, version=version, state=None) for version in range(2, 1001, 2)
    ]
    log.offer(unusable, loaded.key)
    log.loads = 0
    assert await state(history, user_id) == expected
    assert log.loads < 10
    log.loads = 0
    assert await state(history, user_id) == expected
    assert log.loads == 1


async def test_snapshots_of_another_format_are_skipped() -> None:
    log = CountedLog()
    history = UserHistory(log, log, every=4)
    user_id = await user_with(log, 11)
    expected = await state(history, user_id)
    good = (await log.load(user_id, StreamRange(snapshot_format=SNAPSHOT_FORMAT))).snapshot
    key = (await log.load(user_id)).key
    assert good is not None
    assert key is not None
    log.offer([replace(good, format="user/0", version=9, state=b"?")], key)
    assert await state(history, user_id) == expected


async def test_a_load_that_takes_too_long_stops_and_the_next_one_continues(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    log = CountedLog()
    history = UserHistory(log, log, every=8)
    user_id = await user_with(log, 100)
    monkeypatch.setattr(user_history, "_TIMEOUT_SECONDS", 0.0)
    for _ in range(100 // 16):
        with pytest.raises(Unavailable):
            await state(history, user_id)
    assert (await state(history, user_id)).version == 100


async def test_a_user_erased_while_the_stream_is_read_is_erased() -> None:
    class ErasingLog(CountedLog):
        async def load(self, *arguments: object, **named: object) -> LoadedStream:
            loaded = await super().load(*arguments, **named)  # pyright: ignore[reportArgumentType]
            if self.loads == 1:
                await self.append(erasure(user_id, 3000))
            return loaded

    log = ErasingLog()
    user_id = await user_with(log, 3000)
    loaded = await UserHistory(log, log).load(user_id, version=2000)
    assert isinstance(loaded.state, ErasedAt)
    assert loaded.state.version == 3001


async def test_an_erased_user_is_loaded_from_one_event_of_a_long_stream() -> None:
    log = CountedLog()
    history = UserHistory(log, log)
    user_id = await user_with(log, 3000)
    await log.append(erasure(user_id, 3000))
    for version in (None, 1, 3001):
        log.loads = log.events_read = 0
        assert isinstance((await history.load(user_id, version=version)).state, ErasedAt)
        assert (log.loads, log.events_read) == (1, 1)


async def test_a_receipt_is_loaded_together_with_the_stream() -> None:
    log = CountedLog()
    draft: Draft = registration(key="k")
    await log.append(draft)
    request = Context(
        actor="token:t", correlation_id="c", idempotency=IdempotencyKey("k", b"request")
    )
    loaded = await UserHistory(log, log).load(draft.stream, request)
    assert loaded.receipt is not None
    assert log.loads == 1
