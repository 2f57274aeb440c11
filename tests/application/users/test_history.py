"""Loading users from snapshots: reads, offered snapshots, and the timeout."""

from random import Random
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from uuid_utils.compat import uuid7

from application.context import Context, IdempotencyKey
from application.errors import Overloaded, Unavailable
from application.log.event_log import (
    WHOLE,
    Appended,
    Draft,
    DraftSnapshot,
    LoadedStream,
    StreamRange,
)
from application.users import history as user_history
from application.users.history import SNAPSHOT_BYTES, UserHistory
from application.users.service import UserService
from application.users.snapshots import SNAPSHOT_FORMAT
from application.users.states import ErasedAt, UserAt
from domain.user.commands import ChangeUser, EraseUser
from domain.user.events import PreviousName, UserRenamed
from domain.values import PersonName, Role
from tests.support.doubles.event_log import InMemoryEventLog
from tests.support.log.drafts import change, context, erasure, registration
from tests.support.log.snapshot_model import DroppingLog, Step, World, histories


class CountedLog(InMemoryEventLog):
    """Counts the loads and the events that they returned."""

    def __init__(self) -> None:
        super().__init__(uuid7)
        self.loads = 0
        self.events_read = 0

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

    def versions(self, user_id: UUID) -> list[int]:
        """The versions of the stored snapshots."""
        return sorted(version for _, version in self.snapshots.get(user_id, {}))


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
        log.snapshots.clear()

    dropping = DroppingLog(log, lambda: random.random() < 0.7)
    steps, erased = life
    await World(dropping, delete_all, every=every).run(steps, erased=erased)


async def command(users: UserService, user_id: UUID, number: int) -> None:
    both = ChangeUser(name=PersonName.parse(f"N {number}"), role=Role.parse(f"r{number}"))
    await users.execute(user_id, both, context())


async def test_an_append_stores_a_snapshot_when_enough_was_folded_since_the_last() -> None:
    log = CountedLog()
    users = UserService(log, snapshot_every=4)
    user_id = await user_with(log, 2)
    for number in range(6):
        await command(users, user_id, number)
    assert (await users.user_at(user_id)).version == 14
    assert log.versions(user_id) == [4, 8, 12]


async def test_large_events_are_followed_by_a_snapshot_sooner() -> None:
    log = CountedLog()
    users = UserService(log)
    user_id = await user_with(log, 1)
    for number in range(40):
        large = ChangeUser(attributes={"text": f"{number:02}" + "x" * 16_000})
        await users.execute(user_id, large, context())
        loaded = await log.load(user_id, StreamRange(snapshot_format=SNAPSHOT_FORMAT))
        assert loaded.size < SNAPSHOT_BYTES + 2 * 16 * 1024 + 200
    # Each event has the attributes before and after.
    assert len(log.versions(user_id)) == 40 // 6
    assert (await users.user_at(user_id)).version == 41


async def test_no_more_than_one_interval_of_a_stream_is_read() -> None:
    log = CountedLog()
    users = UserService(log, snapshot_every=16)
    user_id = await user_with(log, 1)
    for number in range(200):
        await command(users, user_id, number)
    for version in (1, 15, 16, 17, 250, 255, 256, 399, 401):
        log.loads = log.events_read = 0
        assert (await users.user_at(user_id, version=version)).version == version
        assert (version, log.loads) == (version, 1)
        assert log.events_read <= 16


async def test_a_stream_without_snapshots_is_read_in_pages_that_leave_snapshots() -> None:
    log = CountedLog()
    history = UserHistory(log, every=64)
    user_id = await user_with(log, 3000)
    assert (await state(history, user_id, version=2990)).user.name == "N 2990"
    assert log.loads == 1 + 3
    assert log.events_read == 2990
    assert log.versions(user_id) == [128, 128 + 1024, 128 + 2048]
    log.events_read = 0
    assert (await state(history, user_id, version=2990)).user.name == "N 2990"
    assert log.events_read == 2990 - (128 + 2048)


async def test_the_next_command_on_a_stream_without_snapshots_stores_one() -> None:
    log = CountedLog()
    user_id = await user_with(log, 100)
    await command(UserService(log), user_id, 0)
    assert log.versions(user_id) == [102]


async def test_a_load_goes_on_if_no_snapshot_can_be_stored() -> None:
    class Full(CountedLog):
        async def append(self, draft: Draft) -> Appended:
            if draft.snapshot is not None:
                self.refused += 1
                raise Overloaded
            return await super().append(draft)

        refused = 0

    log = Full()
    user_id = await user_with(log, 3000)
    assert (await state(UserHistory(log), user_id)).version == 3000
    assert (log.refused, log.versions(user_id)) == (1, [])


async def test_a_user_that_is_erased_gets_no_snapshot() -> None:
    log = CountedLog()
    users = UserService(log, snapshot_every=2)
    draft = registration(email="asa@example.com")
    await log.append(draft)
    for number in range(3):
        await command(users, draft.stream, number)
    assert log.versions(draft.stream) == [3, 5, 7]
    await users.execute(draft.stream, EraseUser(), context())
    assert log.versions(draft.stream) == []


@pytest.mark.parametrize("unusable", [None, b"", b"{", b'{"name":1}', b'{"name":"\xff"}'])
async def test_an_unusable_snapshot_is_skipped_and_followed_by_a_new_one(
    unusable: bytes | None,
) -> None:
    log = CountedLog()
    users = UserService(log, snapshot_every=4)
    user_id = await user_with(log, 5)
    await command(users, user_id, 0)
    expected = await users.user_at(user_id)
    (place,) = log.snapshots[user_id]
    log.snapshots[user_id][place] = replace(log.snapshots[user_id][place], state=unusable)
    assert await users.user_at(user_id) == expected
    await command(users, user_id, 1)
    assert log.versions(user_id) == [7, 9]


async def test_many_unusable_snapshots_are_skipped_in_a_few_loads() -> None:
    log = CountedLog()
    users = UserService(log, snapshot_every=2)
    user_id = await user_with(log, 1)
    for number in range(500):
        await command(users, user_id, number)
    expected = await users.user_at(user_id)
    stored = log.snapshots[user_id]
    stored |= {place: replace(snapshot, state=None) for place, snapshot in stored.items()}
    log.loads = 0
    assert await users.user_at(user_id) == expected
    assert log.loads < 10
    await command(users, user_id, 500)
    log.loads = 0
    await users.user_at(user_id)
    assert log.loads == 1


async def test_snapshots_of_another_format_are_skipped() -> None:
    log = CountedLog()
    users = UserService(log, snapshot_every=4)
    user_id = await user_with(log, 7)
    expected = await users.user_at(user_id)
    key = (await log.load(user_id)).key
    await log.append(
        replace(
            change(user_id, 6, sealed_with=key, snapshot=DraftSnapshot("user/0", b"?")), events=()
        )
    )
    assert await users.user_at(user_id) == expected
    await command(users, user_id, 0)
    assert log.versions(user_id) == [6, 9]


async def test_a_load_that_takes_too_long_stops_and_the_next_one_continues(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    log = CountedLog()
    history = UserHistory(log, every=8)
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
    loaded = await UserHistory(log).load(user_id, version=2000)
    assert isinstance(loaded.state, ErasedAt)
    assert loaded.state.version == 3001


async def test_an_erased_user_is_loaded_from_one_event_of_a_long_stream() -> None:
    log = CountedLog()
    history = UserHistory(log)
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
    loaded = await UserHistory(log).load(draft.stream, request)
    assert loaded.receipt is not None
    assert log.loads == 1
