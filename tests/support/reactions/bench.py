"""Reactions on a real server for tests: the log, the follower and the workers, in this process."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final, Self
from uuid import UUID

from msgspec.structs import replace
from uuid_utils.compat import uuid7

from application.context import Context
from application.jobs.runs import Timing
from application.log.event_log import Appended, Draft
from application.reactions.mail import Mailer
from application.reactions.reaction import Options, Reaction
from application.reactions.scheduling import REACTIONS_BELL
from domain.user.events import PreviousRole, UserErased, UserRegistered, UserRoleChanged
from infrastructure.doorbell.postgres import PostgresDoorbell
from infrastructure.jobs.postgres import PostgresJobs
from infrastructure.jobs.worker import JobWorkers
from infrastructure.keys import MasterKeys
from interfaces.composition.event_store import EventStore, open_event_store
from interfaces.composition.reactions import NO_OPTIONS, reacting
from tests.support.jobs.jobs import TIMING
from tests.support.servers.postgres import MASTER_KEYS
from tests.support.views.directory import execute

_COUNTS: Final = """
SELECT state, count(*) FROM reaction_runs WHERE reaction = %s GROUP BY state"""


class ReactionBench:
    """A log, and workers that react to it."""

    def __init__(self, url: str, store: EventStore, doorbell: PostgresDoorbell) -> None:
        self.url = url
        self.store = store
        self.doorbell = doorbell

    @classmethod
    @asynccontextmanager
    async def open(cls, url: str) -> AsyncGenerator[Self]:
        """Opens over a migrated database; reacts to nothing yet."""
        async with AsyncExitStack() as stack:
            masters = MasterKeys.parse(MASTER_KEYS)
            store = await stack.enter_async_context(open_event_store(url, masters))
            doorbell = await stack.enter_async_context(PostgresDoorbell.open(url))
            yield cls(url, store, doorbell)

    @asynccontextmanager
    async def working(
        self,
        *reactions: Reaction,
        mail: Mailer | None = None,
        options: Options = NO_OPTIONS,
        timing: Timing = TIMING,
        until_on: bool = True,
    ) -> AsyncGenerator[None]:
        """A worker until the block ends, then drain it; its error fails the test."""
        built = reacting(reactions, self.store, self.doorbell, mail, options)
        workers = JobWorkers(
            (),
            self.store.database,
            PostgresJobs(self.store.database, uuid7),
            self.doorbell,
            reactions=built.work,
            timing=timing,
            start_delay=0,
        )
        tasks = [asyncio.create_task(each) for each in (workers.run(), *built.tasks)]
        try:
            if until_on:
                for reaction in reactions:
                    await self.until(lambda name=reaction.name: self._is_registered(name))
            yield
        finally:
            for task in tasks:
                task.cancel()
            for error in await asyncio.gather(*tasks, return_exceptions=True):
                assert isinstance(error, asyncio.CancelledError), repr(error)

    async def _is_registered(self, name: str) -> bool:
        """And the follower has its checkpoint, so that it gets all events from now on."""
        known = "SELECT name FROM reactions WHERE name = %s AND missing IS NULL"
        return bool(await execute(self.url, known, name))

    async def register(self, *streams: UUID, actor: str = "token:t", name: str = "Åsa") -> Appended:
        """Record a new user; with several ids, one user each, in one batch. The last is returned."""
        drafts = [_registration(stream, actor, name) for stream in streams or (uuid7(),)]
        appended = await asyncio.gather(*(self.store.log.append(draft) for draft in drafts))
        return appended[-1]

    async def change_role(self, stream: UUID, times: int = 1) -> Sequence[int]:
        """Record changes of role, in one command; their positions."""
        loaded = await self.store.log.load(stream)
        version = loaded.events[-1].version
        change = UserRoleChanged(role="owner", previous=PreviousRole(role="member"))
        draft = Draft(
            kind="user",
            stream=stream,
            after_version=version,
            events=(change,) * times,
            context=_context("token:t"),
        )
        appended = await self.store.log.append(draft)
        return [each.position for each in appended.events]

    async def erase(self, stream: UUID) -> None:
        loaded = await self.store.log.load(stream)
        draft = Draft(
            kind="user",
            stream=stream,
            after_version=loaded.events[-1].version,
            events=(UserErased(),),
            context=_context("token:t"),
            destroy_key=True,
        )
        await self.store.log.append(draft)

    async def counts(self, reaction: str) -> dict[str, int]:
        """The number of runs by state."""
        return dict(await execute(self.url, _COUNTS, reaction))

    async def until_counts(self, reaction: str, seconds: float = 20.0, **counts: int) -> None:
        """Wait for these numbers of runs, and no others."""
        found: dict[str, int] = {}
        try:
            async with asyncio.timeout(seconds):
                while (found := await self.counts(reaction)) != counts:
                    await asyncio.sleep(0.02)
        except TimeoutError:
            runs = await execute(self.url, "SELECT * FROM reaction_runs LIMIT 5")
            raise AssertionError(f"still {found}: {runs}") from None

    async def until(self, condition: Callable[[], Any], seconds: float = 20.0) -> None:
        """Wait for an asynchronous condition."""
        async with asyncio.timeout(seconds):
            while not await condition():
                await asyncio.sleep(0.02)

    async def make_due(self) -> None:
        """As if the pauses before all retries were over."""
        await execute(self.url, "UPDATE reaction_runs SET due_at = now() WHERE state = 'queued'")
        unpause = "UPDATE reactions SET paused_until = now() WHERE paused_until > now()"
        await execute(self.url, unpause)
        self.doorbell.ring(REACTIONS_BELL)


def with_tries(reaction: Reaction, tries: int) -> Reaction:
    return replace(reaction, tries=tries)


def _registration(stream: UUID, actor: str, name: str) -> Draft:
    event = UserRegistered(name=name, email=f"{stream}@example.com", role="member")
    return Draft(
        kind="user",
        stream=stream,
        after_version=0,
        events=(event,),
        context=_context(actor),
        status=201,
    )


def _context(actor: str) -> Context:
    return Context(actor=actor, correlation_id="test")
