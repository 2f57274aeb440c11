"""The cache against a model, on Redis: under any fault no answer is older than its position."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from functools import partial
from typing import Any, ClassVar, TypeVar
from uuid import UUID

import pytest
import uvloop
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    rule,
    run_state_machine_as_test,
)
from uuid_utils.compat import uuid7

from application.cache.documents import CachedDocuments
from application.cache.followers import CacheFollower
from application.cache.ports import FollowingCache, Miss
from application.errors import ViewBehind
from application.projector.view_store import Slot
from application.queries.directory import Answer, UserList
from application.queries.documents import UserDocument
from infrastructure.breaker import CircuitBreaker
from infrastructure.cache.redis_cache import RedisCache
from tests.support.servers.postgres import scaled
from tests.support.servers.redis import private_redis
from tests.support.servers.redis_admin import RedisAdmin
from tests.support.views.cache_model import (
    SLOT,
    USER_IDS,
    Change,
    LateFollowing,
    World,
)
from tests.support.views.filling import cached_user, position_of

T = TypeVar("T")

users = st.sampled_from(USER_IDS)
changes = st.sampled_from(["rename", "rename", "delete", "restore", "erase", "remove"])


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with private_redis() as server:
        yield server.url


def test_what_the_cache_returns_was_true_at_its_position_or_later(server: str) -> None:
    class OnThisServer(CacheMachine):
        url = server

    run_state_machine_as_test(  # pyright: ignore[reportUnknownMemberType]
        OnThisServer,
        settings=settings(
            max_examples=scaled(60),
            stateful_step_count=50,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )


class CacheMachine(RuleBasedStateMachine):
    """Followers and readers on a Redis that forgets, while some of their writes are late.

    A late write is one that a process had not yet sent when it froze, or that lay in a socket:
    a step of a follower, or a document offered by a reader.
    """

    url: ClassVar[str]

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.late: list[Callable[[], Awaitable[None]]] = []
        self.runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)
        self.admin = RedisAdmin(self.url)
        self.admin.flush()
        self.copy: Mapping[str, bytes] = {}
        self.repairs_in_copy = 0
        # No pause: the next rule retries what failed.
        breaker = CircuitBreaker("cache", 0.1, first_pause=0)
        self.opened = RedisCache.open(self.url, uuid7(), 1, breaker=breaker)
        self.cache = self.run(self.opened.__aenter__())
        self.documents = CachedDocuments(self.cache, self.world, self.world)
        for user_id in USER_IDS:
            self.record_and_project(user_id, "rename")
        self.look()
        self.follow(1)
        self.read(0)
        self.copy_the_server()

    def run(self, work: Awaitable[T]) -> T:
        async def run() -> T:
            return await work

        return self.runner.run(run())

    def teardown(self) -> None:
        self.run(self.opened.__aexit__(None, None, None))
        self.runner.close()
        self.admin.__exit__(None, None, None)

    # Changes of the world

    @rule(user_id=users, change=changes, gap=st.integers(0, 1))
    def record(self, user_id: UUID, change: Change, gap: int) -> None:
        self.world.record(user_id, change, gap)

    @rule(user_id=users, change=changes)
    def record_and_project(self, user_id: UUID, change: Change) -> None:
        self.world.record(user_id, change, 0)
        self.world.project(self.world.head)

    @rule()
    def record_of_another_kind(self) -> None:
        self.world.record_other()

    @rule(events=st.integers(1, 3))
    def project(self, events: int) -> None:
        ahead = [p for p, _, _ in self.world.log if p > self.world.view]
        if ahead:
            self.world.project(ahead[:events][-1])

    @rule(events=st.integers(1, 3))
    def lose_the_end_of_a_view(self, events: int) -> None:
        """View commits do not wait for the disk: what a crash loses is folded again."""
        behind = [0, *(p for p, _, _ in self.world.log if p < self.world.view)]
        self.world.project(behind[-events:][0])

    @rule(user_id=users)
    def repair(self, user_id: UUID) -> None:
        """The cache may have wrong users until a follower has seen that the view was repaired."""
        self.world.go_wrong(user_id)
        self.follow(1)
        self.read_anything()
        self.freeze_a_reader(user_id)
        self.freeze_a_reader_of_a_page()
        self.freeze_a_follower(user_id, "rename")
        self.world.repair()
        self.follow(1)

    def read_anything(self) -> None:
        for user_id in USER_IDS:
            self.run(self.documents.user(user_id))
        self.run(self.cache.idle())

    @rule()
    def look(self) -> None:
        self.run(self.documents.refresh())

    # Followers

    @rule(steps=st.integers(1, 3))
    def follow(self, steps: int) -> None:
        for _ in range(steps):
            self.run(self.follower(SLOT, self.cache.slots).step())

    @rule(user_id=users, change=changes)
    def freeze_a_follower(self, user_id: UUID, change: Change) -> None:
        self.record_and_project(user_id, change)
        late = LateFollowing(self.cache.slots, self.late)
        self.run(self.follower(SLOT, late).step())

    def follower(self, slot: Slot[Any], cache: FollowingCache) -> CacheFollower:
        return CacheFollower(slot, cache, self.world, self.world)

    # Readers

    @rule(behind=st.integers(0, 3))
    def read(self, behind: int) -> None:
        """Read all users; after a miss the document is offered to the cache."""
        for user_id in USER_IDS:
            at_least = max(0, self.world.view - behind)
            answer = self.run(self.documents.user(user_id, at_least=at_least))
            assert answer.position >= at_least
            assert self.world.allows(user_id, answer)
        self.run(self.cache.idle())

    @rule(user_id=users)
    def read_beyond_the_view(self, user_id: UUID) -> None:
        with pytest.raises(ViewBehind):
            self.run(self.documents.user(user_id, at_least=self.world.seen + 1))

    @rule(user_id=users)
    def freeze_a_reader(self, user_id: UUID) -> None:
        """The reader missed, has read the view, and freezes before it offers the document."""
        miss = self.run(self.cache.users.look_up(SLOT, user_id))
        answer = self.run(self.world.user(user_id))
        if isinstance(miss, Miss) and answer.value is not None:

            async def offer() -> None:
                self.cache.users.offer(miss, answer)
                await self.cache.idle()

            self.late.append(offer)

    @rule()
    def read_a_page(self) -> None:
        if miss := self.miss():
            self.run(self.offer_page(miss, self.page()))

    @rule()
    def freeze_a_reader_of_a_page(self) -> None:
        if miss := self.miss():
            self.late.append(partial(self.offer_page, miss, self.page()))

    @rule(user_id=users, change=changes)
    def change_after_a_page_was_missed(self, user_id: UUID, change: Change) -> None:
        """The reader reads the view before the change, and offers when the cache has passed it."""
        self.freeze_a_reader_of_a_page()
        self.record_and_project(user_id, change)
        self.follow(1)
        self.deliver_a_late_write(newest=True)

    def miss(self) -> Miss[UserList] | None:
        found = self.run(self.cache.pages.look_up(SLOT, UserList()))
        return found if isinstance(found, Miss) else None

    def page(self) -> Answer[bytes]:
        position = self.world.view
        return Answer(self.world.page(position), position)

    async def offer_page(self, miss: Miss[UserList], page: Answer[bytes]) -> None:
        self.cache.pages.offer(miss, page)
        await self.cache.idle()

    @rule(newest=st.booleans())
    def deliver_a_late_write(self, newest: bool) -> None:
        if self.late:
            self.run(self.late.pop(-1 if newest else 0)())

    # Faults

    @rule(user_id=users)
    def evict_a_user(self, user_id: UUID) -> None:
        self.admin.delete(f"*:{user_id}")

    @rule()
    def evict_a_position(self) -> None:
        self.admin.delete("*}:pos")

    @rule(user_id=users, change=changes)
    def begin_again_after_a_change(self, user_id: UUID, change: Change) -> None:
        self.evict_a_position()
        self.record_and_project(user_id, change)
        self.follow(1)

    @rule()
    def evict_the_pages(self) -> None:
        self.admin.delete("*}:pages")

    @rule()
    def copy_the_server(self) -> None:
        self.copy = self.admin.dump()
        self.repairs_in_copy = self.world.repairs

    @rule()
    def fall_back_to_the_copy(self) -> None:
        """As after a failover to a replica that had not received the last writes.

        A copy from before a repair may show wrong users again, until a follower's next step.
        """
        self.admin.restore(self.copy)
        if self.repairs_in_copy < self.world.repairs:
            self.follow(1)

    @rule(what=st.sampled_from(["flush", "forget the scripts", "cut the connections"]))
    def break_the_server(self, what: str) -> None:
        match what:
            case "flush":
                self.admin.flush()
            case "forget the scripts":
                self.admin.flush_scripts()
            case _:
                self.admin.cut_connections()

    # Invariants

    @invariant()
    def no_answer_is_stale(self) -> None:
        async def look_up() -> list[Answer[UserDocument | None] | None]:
            return await asyncio.gather(*(cached_user(self.cache, SLOT, each) for each in USER_IDS))

        for user_id, answer in zip(USER_IDS, self.run(look_up()), strict=True):
            assert answer is None or self.world.allows(user_id, answer)

    @invariant()
    def no_page_is_older_than_its_slot(self) -> None:
        """And its content is that of its position."""
        page = self.run(self.cache.pages.look_up(SLOT, UserList()))
        if isinstance(page, Answer):
            assert page.value == self.world.page(page.position)
            assert page.position >= (self.run(position_of(self.cache, SLOT)) or 0)
