"""An erasure in memory: a test sets how far the log, the views and the cache are."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final
from uuid import UUID

from uuid_utils.compat import uuid7

from application.cache.ports import MAX_TTL, CacheUnavailable, Mark
from application.context import Context
from application.erasure.coverage import Coverage
from application.erasure.erased_views import ViewGeneration
from application.erasure.service import Erasure, ErasureReceipt, ErasureService
from application.erasure.sweep import run_erasures
from application.errors import Unavailable
from application.exports.requests import Exports
from application.jobs.model import Job
from application.projector.view_store import Slot
from application.users.service import UserService
from domain.user.commands import RegisterUser
from domain.values import EmailAddress, PersonName, Role
from infrastructure.doorbell.memory import MemoryDoorbell
from projections.registry import PROJECTIONS
from tests.support.doubles.cache import MemoryCache
from tests.support.doubles.event_log import InMemoryEventLog
from tests.support.doubles.jobs import InMemoryJobs
from tests.support.log.drafts import context
from tests.support.run.background import in_background

SERVING: Final = ("views:users/1", "views:headcount/1")


class FixedViews:
    """See `ErasedViews`: one serving generation of each projection, all at `position`."""

    def __init__(self, position: int = 0) -> None:
        self.others: list[ViewGeneration] = []
        self.dropped: list[int] = []
        self.is_unavailable = False
        self.finished: list[tuple[str, int]] = []
        self.move(position)

    def move(self, position: int) -> None:
        self._position = position

    async def generations(self) -> Sequence[ViewGeneration]:
        if self.is_unavailable:
            raise Unavailable
        serving = [ViewGeneration(p.name, 1, True, self._position) for p in PROJECTIONS]
        return [*serving, *self.others]

    async def dropped_since(self, seconds: int) -> Sequence[int]:
        assert seconds > MAX_TTL
        return self.dropped

    async def finish_erasure(self, view: ViewGeneration, position: int, seconds: float) -> None:
        if self.is_unavailable:
            raise Unavailable
        self.finished.append((str(view), position))


class UnavailableCache(MemoryCache):
    """A cache that a test can make unavailable; `searched` has the generations of the last removal."""

    is_unavailable = False
    searched: Sequence[int] = ()

    async def mark(self, slot: Slot[Any]) -> Mark | None:
        if self.is_unavailable:
            raise CacheUnavailable
        return await super().mark(slot)

    async def forget(self, user_id: UUID, slots: Collection[Slot[Any]]) -> None:
        if self.is_unavailable:
            raise CacheUnavailable
        self.searched = [slot.generation for slot in slots]
        await super().forget(user_id, slots)


class World:
    """One user to erase; the test moves the views."""

    def __init__(self, cache: MemoryCache | None = None, exports: Exports | None = None) -> None:
        self.log = InMemoryEventLog(uuid7)
        self.views = FixedViews()
        self.cache = cache
        self.doorbell = MemoryDoorbell()
        self.commands = UserService(self.log)
        self.coverage = Coverage(self.views, cache, self.doorbell, exports)
        self.jobs = InMemoryJobs(uuid7)
        self.service = ErasureService(self.commands, self.coverage, self.jobs, timeout_seconds=0.05)
        self.user_id = uuid7()

    async def register(self) -> None:
        command = RegisterUser(
            user_id=self.user_id,
            name=PersonName.parse("Zoë"),
            email=EmailAddress.parse("zoe@example.org"),
            role=Role.parse("member"),
        )
        await self.commands.execute(self.user_id, command, context(), status=201)

    async def erase(self, asked: Context | None = None, **options: Any) -> Erasure:
        return await self.service.erase(self.user_id, "retention", asked or context(), **options)

    @asynccontextmanager
    async def sweeping(self) -> AsyncGenerator[None]:
        """Complete erasures until the block ends, as a worker does."""
        async with in_background(run_erasures(self.coverage, self.jobs, look_seconds=0.01)):
            yield

    async def wait_for_job(self, job_id: UUID, condition: Callable[[Job], bool]) -> Job:
        """The job, once the condition holds."""
        async with asyncio.timeout(5):
            while True:
                job = await self.jobs.job(job_id)
                if job is not None and condition(job):
                    return job
                await asyncio.sleep(0.005)

    async def receipt(self) -> ErasureReceipt:
        """Erase the user with all views at the head; the receipt."""
        self.views.move(2)
        return receipt_of(await self.erase())


def receipt_of(erasure: Erasure) -> ErasureReceipt:
    """The receipt of a finished erasure."""
    assert isinstance(erasure.answer, ErasureReceipt)
    return erasure.answer


def job_of(erasure: Erasure) -> Job:
    """The job of an unfinished erasure."""
    assert isinstance(erasure.answer, Job)
    return erasure.answer
