"""The follower that queues a run for each event that starts a reaction."""

from collections.abc import AsyncGenerator, Collection, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import Final, NoReturn, Protocol
from uuid import UUID

from msgspec import Struct
from structlog import get_logger

from application.doorbell import Doorbell
from application.log.event_log import FeedPage, type_of
from application.log.follower import follow
from application.log.search import EventFilter, SearchableFeed
from application.reactions.reaction import Options, Reaction
from domain.event import Event, Recorded

# The actor of made-up events, which start no reaction.
SEED: Final = "system:seed"
# An import gives the user that it registers an id of this version of UUID (RFC 9562).
_IMPORT_VERSION: Final = 8

log = get_logger(__name__)


class WantedRun(Struct, frozen=True, kw_only=True):
    """An event that starts a reaction, if that is on."""

    reaction: str
    position: int
    event_id: UUID
    stream: UUID


class ReactionProgress(Protocol):
    """The checkpoint of the reactions, for the process that leads."""

    @property
    def position(self) -> int:
        """The checkpoint that this process stored. Raises `NotLeading` once the lead is lost."""
        ...

    async def advance(self, reached: int, wanted: Sequence[WantedRun]) -> None:
        """Move the checkpoint, and queue the runs of reactions that are on: both or neither.

        Raises `NotLeading` if another process moved it, and `Unavailable`.
        """
        ...


class ReactionLedger(Protocol):
    """The store of the checkpoint and of the runs."""

    def lead(self, names: Collection[str]) -> AbstractAsyncContextManager[ReactionProgress]:
        """Wait until no other process leads, and lead until the context ends.

        Raises `Unavailable`; also while workers have a reaction that is not among `names`, those of
        this process, which would go past events that start it.
        """
        ...


async def run_reactions(
    reactions: Sequence[Reaction],
    options: Options,
    ledger: ReactionLedger,
    feed: SearchableFeed,
    doorbell: Doorbell,
) -> NoReturn:
    """Follow the log for these reactions while this process leads; cancel it to stop."""
    lead = partial(ReactionFollower.leading, reactions, options, ledger)
    await follow("reactions", lead, _StartingEvents(feed, reactions), doorbell)


class ReactionFollower:
    """The follower that moves its checkpoint in the transaction that queues the runs of a page."""

    def __init__(
        self, reactions: Sequence[Reaction], options: Options, progress: ReactionProgress
    ) -> None:
        self._reactions = reactions
        self._options = options
        self._progress = progress

    @classmethod
    @asynccontextmanager
    async def leading(
        cls, reactions: Sequence[Reaction], options: Options, ledger: ReactionLedger
    ) -> AsyncGenerator["ReactionFollower"]:
        async with ledger.lead([each.name for each in reactions]) as progress:
            log.info("reactions_lead", position=progress.position)
            yield cls(reactions, options, progress)

    @property
    def position(self) -> int:
        return self._progress.position

    async def handle(self, page: FeedPage) -> None:
        wanted = [
            WantedRun(
                reaction=reaction.name,
                position=recorded.position,
                event_id=recorded.event_id,
                stream=recorded.stream,
            )
            for recorded in page.events
            for reaction in self._reactions
            if starts(reaction, recorded, self._options)
        ]
        await self._progress.advance(page.reached, wanted)


def starts(reaction: Reaction, recorded: Recorded[Event], options: Options) -> bool:
    """Whether an event starts a reaction that is on."""
    if type_of(recorded.event) not in reaction.types or recorded.actor == SEED:
        return False
    if reaction.skips_imports and recorded.stream.version == _IMPORT_VERSION:
        return options.get(reaction.imports_option or "") == "true"
    return True


class _StartingEvents:
    """The log without events of other types, which stay in the database."""

    def __init__(self, feed: SearchableFeed, reactions: Sequence[Reaction]) -> None:
        types = frozenset(topic for reaction in reactions for topic in reaction.types)
        self._feed = feed
        self._wanted = EventFilter(types=types, kinds=frozenset())

    async def read(self, after: int, limit: int) -> FeedPage:
        return await self._feed.search(after, self._wanted, limit)
