"""Imports rows in file order: a limited number at once, rows of one person one by one."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Final, Literal

from msgspec import Struct
from msgspec.structs import replace

from domain.email import comparable_address
from interfaces.cli.ldif_import.identity import folded_key, keys_of
from interfaces.cli.ldif_import.rows import Person, Refused

AT_ONCE: Final = 16

Result = Literal["created", "unchanged", "differs", "updated", "refused"]


class Outcome(Struct, frozen=True):
    """The result for the entry that begins at `line`; reason and warning hold no values of it."""

    line: int
    result: Result
    reason: str | None = None
    warning: str | None = None


Settle = Callable[[Person], Awaitable[Outcome]]

_Name = tuple[str, str]
_Task = asyncio.Task[Outcome]


async def outcomes(rows: Iterable[Person | Refused], settle: Settle) -> AsyncIterator[Outcome]:
    """The outcome of each row, in file order; an error of `settle` ends it.

    Rows that share an address or an external id wait for each other, so that the first in the
    file always wins.
    """
    running = deque[tuple[_Task, list[_Name]]]()
    latest = dict[_Name, _Task]()

    async def oldest() -> Outcome:
        task, names = running[0]
        outcome = await task
        running.popleft()
        for name in names:
            if latest[name] is task:
                del latest[name]
        return outcome

    try:
        for row in rows:
            if len(running) == AT_ONCE:
                yield await oldest()
            names = _names(row)
            before = {latest[name] for name in names if name in latest}
            task = asyncio.create_task(_settled(row, before, settle))
            latest.update(dict.fromkeys(names, task))
            running.append((task, names))
        while running:
            yield await oldest()
    finally:
        for task, _ in running:
            task.cancel()
        await asyncio.gather(*(task for task, _ in running), return_exceptions=True)


async def _settled(row: Person | Refused, before: set[_Task], settle: Settle) -> Outcome:
    if isinstance(row, Refused):
        return Outcome(row.line, "refused", row.reason)
    if before:
        await asyncio.wait(before)
    outcome = await settle(row)
    return outcome if row.warning is None else replace(outcome, warning=row.warning)


def _names(row: Person | Refused) -> list[_Name]:
    """The values that no two users may share."""
    if isinstance(row, Refused):
        return []
    keys = {folded_key(key) for key in keys_of(row)}
    return [("email", comparable_address(row.email)), *(("key", key) for key in keys)]
