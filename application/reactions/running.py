"""One run of a reaction: load the event, call the function, record the outcome."""

import asyncio
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final, Protocol
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace
from structlog import get_logger

from application.errors import Unavailable
from application.failures import describe
from application.log.event_log import EventLog, StreamRange, Unreadable, type_of
from application.log.sealed import Sealed
from application.reactions.lines import Lines
from application.reactions.mail import Mailer
from application.reactions.outcomes import OUTAGES, TooLong, UnreadableEvent, outcome_of
from application.reactions.reaction import Options, Reaction, ReactionContext
from application.reactions.runs import (
    ReactionRuns,
    RunOutcome,
    TakenRun,
)
from application.retry import BackOff, raise_if_cancelled
from domain.event import ERASED, Event, Recorded
from domain.user.events import UserErased

ERASED_PERSON: Final = "the person was erased"
NOT_IN_LOG: Final = "the log does not have this event"
DISABLED: Final = "the reaction was disabled"


log = get_logger(__name__)


class EventAt(Protocol):
    async def at(self, position: int) -> Recorded[Event] | None:
        """The opened event at this position, None if there is none. Raises `Unavailable`."""
        ...


class RunPorts(Struct, frozen=True, kw_only=True):
    """What runs need; `ended` is called after each outcome, so that the next run is queued soon."""

    reactions: Mapping[str, Reaction]
    runs: ReactionRuns
    events: EventAt
    log: EventLog
    mail: Mailer
    options: Options
    ended: Callable[[RunOutcome], None]
    lines: Lines


class ReactionRun:
    """The run of one entry of the queue."""

    def __init__(self, entry: int, ports: RunPorts) -> None:
        self._entry = entry
        self._ports = ports
        self._stopped = False
        self._work: asyncio.Task[None] | None = None

    def stop(self) -> None:
        """End the function; the run goes back to the queue, and does not count as a try."""
        self._stopped = True
        if self._work is not None:
            self._work.cancel()

    async def to_end(self) -> None:
        """Do the work of the entry, if it is still the run's, and record the outcome."""
        taken = await self._begun()
        if taken is None:
            return
        reaction = self._ports.reactions[taken.reaction]
        recorded: Recorded[Event] | None = None
        try:
            recorded, outcome = await self._prepared(taken)
            if recorded is not None and outcome is None:
                outcome = await self._outcome(reaction, recorded, taken)
            assert outcome is not None
        except OUTAGES as error:
            # Our own database is away: the run waits, and nothing is said about the reaction's server.
            outcome = RunOutcome(state="queued", error=describe(error), seconds=1.0)
        await self._record(taken, outcome, recorded)
        self._ports.ended(outcome)

    async def _begun(self) -> TakenRun | None:
        back_off = BackOff("reactions")
        while not self._stopped:
            try:
                return await self._ports.runs.begin(self._entry, self._ports.reactions)
            except Unavailable as error:
                await back_off.wait(error)
        return None

    async def _prepared(self, taken: TakenRun) -> tuple[Recorded[Event] | None, RunOutcome | None]:
        """The event, and the outcome if the function is not to be called."""
        if taken.is_discarded:
            return None, RunOutcome(state="skipped", error=DISABLED)
        recorded = await self._ports.events.at(taken.position)
        if recorded is None or recorded.event_id != taken.event_id:
            return None, RunOutcome(state="parked", error=NOT_IN_LOG)
        if type_of(recorded.event) != UserErased.topic and await self._is_erased(taken.stream):
            return recorded, RunOutcome(state="skipped", error=ERASED_PERSON)
        return recorded, None

    async def _is_erased(self, stream: UUID) -> bool:
        loaded = await self._ports.log.load(stream, StreamRange(last_unopened=True))
        last = loaded.events[-1].event if loaded.events else None
        return isinstance(last, Sealed | Unreadable) and last.type == UserErased.topic

    async def _outcome(
        self, reaction: Reaction, recorded: Recorded[Event], taken: TakenRun
    ) -> RunOutcome:
        self._work = asyncio.create_task(_call(reaction, recorded, taken, self._ports))
        if self._stopped:
            self._work.cancel()
        await asyncio.wait({self._work})
        error = asyncio.CancelledError() if self._work.cancelled() else self._work.exception()
        if error is None:
            return RunOutcome(state="done")
        if self._stopped and isinstance(error, asyncio.CancelledError):
            return RunOutcome(state="queued", error=None)
        return outcome_of(error, taken, reaction.tries, datetime.now(UTC))

    async def _record(
        self, taken: TakenRun, outcome: RunOutcome, recorded: Recorded[Event] | None
    ) -> None:
        """Retry until the outcome is recorded: meanwhile no other worker does this run."""
        back_off = BackOff("reactions")
        while True:
            raise_if_cancelled()
            try:
                is_current = await self._ports.runs.end(taken, outcome)
            except Unavailable as error:
                await back_off.wait(error)
            else:
                break
        facts: dict[str, Any] = {
            "reaction": taken.reaction,
            "event_id": str(taken.event_id),
            "position": taken.position,
            "correlation_id": None if recorded is None else recorded.correlation_id,
            "attempt": taken.attempt,
            "error": outcome.error,
        }
        if not is_current:
            self._ports.lines.info("reaction_run_is_outdated", **facts)
        elif outcome.state == "parked":
            self._ports.lines.warning("reaction_parked", **facts)
        elif outcome.failed or outcome.outage:
            self._ports.lines.warning("reaction_run_failed", **facts)
        else:
            log.debug("reaction_run_ended", **facts, outcome=outcome.state)


async def _call(
    reaction: Reaction, recorded: Recorded[Event], taken: TakenRun, ports: RunPorts
) -> None:
    event = recorded.event
    if isinstance(event, Unreadable):
        raise UnreadableEvent(event.reason)
    if not reaction.opens and event.personal:
        recorded = replace(recorded, event=replace(event, **dict.fromkeys(event.personal, ERASED)))
    context = ReactionContext(
        reaction=reaction.name,
        attempt=taken.attempt,
        mail=ports.mail,
        options=ports.options,
    )
    limit = asyncio.timeout(reaction.limit)
    try:
        async with limit:
            await reaction.run(recorded, context)
    except TimeoutError:
        if limit.expired():
            raise TooLong from None
        raise
