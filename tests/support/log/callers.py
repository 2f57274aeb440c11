"""Callers that append all the time, and checks that the log agrees with their results."""

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
from tests.support.log.invariants import Logged, Place, Write, violations

_LOG: Final = """
SELECT correlation_id, topic, originator_id::text, originator_version, notification_id,
       event_id::text, recorded_at
FROM stored_events ORDER BY notification_id"""
_RECEIPTS: Final = "SELECT key, position FROM receipts"


class CallerResult(Struct, frozen=True):
    """The result that the caller of an append got, and after how many seconds."""

    draft: Draft
    outcome: Appended | ApplicationError
    seconds: float


class Callers:
    """Each caller appends one draft after another; no two share a stream, a claim or a key.

    So every refusal because of another write (a conflict, a claim, a key) is wrong.
    """

    def __init__(self, log: EventLog) -> None:
        self.results: list[CallerResult] = []
        self.other_writes: list[Write] = []
        """The writes of other processes to the same log in the same time."""
        self._log = log
        self._stopping = False

    @classmethod
    @asynccontextmanager
    async def of(cls, log: EventLog, count: int) -> AsyncGenerator[Self]:
        """Run the callers until the block ends; each then finishes its last append."""
        callers = cls(log)
        async with asyncio.TaskGroup() as group:
            for _ in range(count):
                group.create_task(callers._call())
            try:
                yield callers
            finally:
                callers._stopping = True

    @property
    def failures(self) -> list[ApplicationError]:
        return [one.outcome for one in self.results if not isinstance(one.outcome, Appended)]

    async def wait_for_success(self, timeout_seconds: float = 10.0) -> None:
        """Return when an append that ends after this call has succeeded."""
        count_before = len(self.results)
        async with asyncio.timeout(timeout_seconds):
            while not any(isinstance(one.outcome, Appended) for one in self.results[count_before:]):
                await asyncio.sleep(0.01)

    async def _call(self) -> None:
        history: tuple[Draft, ...] = ()
        while not self._stopping:
            draft = _next(history)
            began = time.monotonic()
            try:
                outcome = await self._log.append(draft)
            except ApplicationError as error:
                outcome = error
            self.results.append(CallerResult(draft, outcome, time.monotonic() - began))
            continues = isinstance(outcome, Appended) and len(history) < 2
            history = (*history, draft) if continues else ()
            await asyncio.sleep(0 if continues else 0.001)


def _next(history: tuple[Draft, ...]) -> Draft:
    """A registration, then a change of role, then a change of address; each has its own name."""
    name = str(uuid7())
    match history:
        case [registered]:
            draft = change(registered.stream, 1, key=name)
        case [registered, changed]:
            claims = (("email", f"{name}@example.com"),)
            draft = change(changed.stream, 2, key=name, take=claims, release=registered.take)
        case _:
            draft = registration(email=f"{name}@example.com", key=name)
    return replace(draft, context=replace(draft.context, correlation_id=name))


async def disagreements(url: str, callers: Callers) -> list[str]:
    """The invariants that the log breaks, and the wrong results that its callers got."""
    writes = [*(write_of(one) for one in callers.results), *callers.other_writes]
    return await contradictions(url, writes) + [
        f"{one.draft.context.correlation_id} got a wrong result: {one.outcome!r}"
        for one in callers.results
        if not isinstance(one.outcome, Appended | Unavailable | Overloaded | OutcomeUnknown)
    ]


async def contradictions(url: str, writes: Sequence[Write]) -> list[str]:
    """The invariants that the log breaks; `writes` are all its writes, each with a receipt."""
    async with await psycopg.AsyncConnection.connect(url) as connection:
        rows = await (await connection.execute(_LOG)).fetchall()
        receipt_rows = await (await connection.execute(_RECEIPTS)).fetchall()
    names = Logged.__struct_fields__
    log = [Logged(**dict(zip(names, row, strict=True))) for row in rows]
    # Each write has one event, and its key is its name.
    receipts = {(row[0], row[1]) for row in receipt_rows}
    return [
        *violations(log, writes),
        *(
            f"{name} at {at} is there in part"
            for name, at in {(e.cause, e.position) for e in log} ^ receipts
        ),
    ]


def write_of(result: CallerResult) -> Write:
    """The write in the form that the invariants need."""
    acknowledged = ()
    if isinstance(result.outcome, Appended):
        (event,) = result.outcome.events
        acknowledged = (
            Place(
                stream=str(event.stream),
                position=event.position,
                version=event.version,
                event_id=str(event.event_id),
                recorded_at=event.recorded_at,
            ),
        )
    return Write(
        name=result.draft.context.correlation_id,
        causes=tuple(event.topic for event in result.draft.events),
        acknowledged=acknowledged,
        denied=isinstance(result.outcome, Unavailable | Overloaded),
    )
