"""Callers that keep appending, what they were told, and whether the log agrees with it."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Final, Self
from uuid import UUID

import psycopg
from msgspec import Struct
from uuid_utils.compat import uuid7

from application.errors import ApplicationError, OutcomeUnknown, Overloaded, Unavailable
from application.event_log import Appended, Draft, EventLog
from tests.drafts import change, registration

_LOG: Final = """
SELECT originator_id, originator_version, event_id, notification_id, recorded_at
FROM stored_events"""
_RECEIPTS: Final = "SELECT stream, version, position FROM receipts"


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

    async def success(self, patience: float = 10.0) -> None:
        """Return once an append that ended after now has succeeded."""
        heard = len(self.said)
        async with asyncio.timeout(patience):
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
    """A registration, then a change of role, then a move to another address."""
    key = str(uuid7())
    match history:
        case [registered]:
            return change(registered.stream, 1, key=key)
        case [registered, changed]:
            moved = (("email", f"{uuid7()}@example.com"),)
            return change(changed.stream, 2, key=key, take=moved, release=registered.take)
        case _:
            return registration(email=f"{uuid7()}@example.com", key=key)


async def disagreements(url: str, said: Iterable[Said]) -> list[str]:
    """Where the log and what its callers were told differ, as sentences."""
    async with await psycopg.AsyncConnection.connect(url) as connection:
        rows = await (await connection.execute(_LOG)).fetchall()
        kept = await (await connection.execute(_RECEIPTS)).fetchall()
    found = {(row[0], row[1]): (row[2], row[3], row[4]) for row in rows}
    receipts = {(row[0], row[1]): row[2] for row in kept}
    wrong = [f"event {one} is there {n} times" for one, n in _counts(rows).items() if n > 1]
    explained = set[tuple[UUID, int]]()
    for one in said:
        place = (one.draft.stream, one.draft.after_version + 1)
        explained.add(place)
        match one.outcome:
            case Appended(events=[event]):
                truth = (event.event_id, event.position, event.recorded_at)
                if found.get(place) != truth:
                    wrong.append(f"{place} was told {truth}, and is {found.get(place)}")
                if receipts.get(place) != event.position:
                    wrong.append(f"{place} has the receipt {receipts.get(place)}")
            case Unavailable() | Overloaded():
                if place in found or place in receipts:
                    wrong.append(f"{place} was told that nothing was recorded, and it was")
            case OutcomeUnknown():
                if (place in found) is not (place in receipts):
                    wrong.append(f"{place} is there in part")
            case other:
                wrong.append(f"{place} was told a falsehood: {other!r}")
    wrong += [f"{place} is nobody's" for place in found if place not in explained]
    return wrong


def _counts(rows: Sequence[Sequence[UUID]]) -> Counter[UUID]:
    return Counter(row[2] for row in rows)
