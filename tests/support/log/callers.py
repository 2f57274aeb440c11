"""Callers that keep appending, what they were told, and whether the log agrees with it."""

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Final, Self

import psycopg
from msgspec import Struct
from msgspec.structs import replace
from uuid_utils.compat import uuid7

from application.errors import ApplicationError, OutcomeUnknown, Overloaded, Unavailable
from application.log.event_log import Appended, Draft, EventLog
from tests.support.log.drafts import change, registration
from tests.support.log.invariants import Logged, Place, Write, breaches

_LOG: Final = """
SELECT correlation_id, topic, originator_id::text, originator_version, notification_id,
       event_id::text, recorded_at
FROM stored_events ORDER BY notification_id"""
_RECEIPTS: Final = "SELECT key, position FROM receipts"


class Said(Struct, frozen=True):
    """What the caller of an append was told, and after how many seconds."""

    draft: Draft
    outcome: Appended | ApplicationError
    seconds: float


class Callers:
    """Each appends one draft after another, to streams, claims and keys that no other has.

    So whatever refuses a draft for another's sake (a conflict, a claim, a key) is false.
    """

    def __init__(self, log: EventLog) -> None:
        self.said: list[Said] = []
        self.elsewhere: list[Write] = []
        """What others wrote to the same log meanwhile, in their own processes."""
        self._log = log
        self._enough = False

    @classmethod
    @asynccontextmanager
    async def of(cls, log: EventLog, count: int) -> AsyncGenerator[Self]:
        """They call until the block ends; each then finishes its last append."""
        callers = cls(log)
        async with asyncio.TaskGroup() as group:
            for _ in range(count):
                group.create_task(callers._call())
            try:
                yield callers
            finally:
                callers._enough = True

    @property
    def failures(self) -> list[ApplicationError]:
        return [one.outcome for one in self.said if not isinstance(one.outcome, Appended)]

    async def success(self, timeout_seconds: float = 10.0) -> None:
        """Return once an append that ended after now has succeeded."""
        heard = len(self.said)
        async with asyncio.timeout(timeout_seconds):
            while not any(isinstance(one.outcome, Appended) for one in self.said[heard:]):
                await asyncio.sleep(0.01)

    async def _call(self) -> None:
        history: tuple[Draft, ...] = ()
        while not self._enough:
            draft = _next(history)
            began = time.monotonic()
            try:
                outcome = await self._log.append(draft)
            except ApplicationError as error:
                outcome = error
            self.said.append(Said(draft, outcome, time.monotonic() - began))
            going_on = isinstance(outcome, Appended) and len(history) < 2
            history = (*history, draft) if going_on else ()
            await asyncio.sleep(0 if going_on else 0.001)


def _next(history: tuple[Draft, ...]) -> Draft:
    """A registration, then a change of role, then a move to another address; each has a name."""
    name = str(uuid7())
    match history:
        case [registered]:
            draft = change(registered.stream, 1, key=name)
        case [registered, changed]:
            moved = (("email", f"{name}@example.com"),)
            draft = change(changed.stream, 2, key=name, take=moved, release=registered.take)
        case _:
            draft = registration(email=f"{name}@example.com", key=name)
    return replace(draft, context=replace(draft.context, correlation_id=name))


async def disagreements(url: str, callers: Callers) -> list[str]:
    """Where the log breaks an invariant, or its callers were told a lie."""
    writes = [*(write_of(one) for one in callers.said), *callers.elsewhere]
    return await contradictions(url, writes) + [
        f"{one.draft.context.correlation_id} was told a falsehood: {one.outcome!r}"
        for one in callers.said
        if not isinstance(one.outcome, Appended | Unavailable | Overloaded | OutcomeUnknown)
    ]


async def contradictions(url: str, writes: Sequence[Write]) -> list[str]:
    """Where the log breaks an invariant; its writes are all there are, each with a receipt."""
    async with await psycopg.AsyncConnection.connect(url) as connection:
        rows = await (await connection.execute(_LOG)).fetchall()
        kept = await (await connection.execute(_RECEIPTS)).fetchall()
    names = Logged.__struct_fields__
    log = [Logged(**dict(zip(names, row, strict=True))) for row in rows]
    # Each write has one event, and the same name as its key.
    receipts = {(row[0], row[1]) for row in kept}
    return [
        *breaches(log, writes),
        *(
            f"{name} at {at} is there in part"
            for name, at in {(e.cause, e.position) for e in log} ^ receipts
        ),
    ]


def write_of(one: Said) -> Write:
    """The write, as the invariants have it."""
    told = ()
    if isinstance(one.outcome, Appended):
        (event,) = one.outcome.events
        told = (
            Place(
                stream=str(event.stream),
                position=event.position,
                version=event.version,
                event_id=str(event.event_id),
                recorded_at=event.recorded_at,
            ),
        )
    return Write(
        name=one.draft.context.correlation_id,
        causes=tuple(event.topic for event in one.draft.events),
        told=told,
        denied=isinstance(one.outcome, Unavailable | Overloaded),
    )
