"""How fast the projectors catch up with a log of sealed events, against the library's own runner.

Both follow the same log from its start. Ours folds a page and stores it in one transaction; the
`ProjectionRunner` of the eventsourcing library uses one transaction per event.
"""

import asyncio
import random
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

import structlog
from uuid_utils.compat import uuid7

from application.log.event_log import Draft
from application.projector.view_store import Slot
from domain.event import Event
from domain.user.events import (
    PreviousName,
    PreviousRole,
    UserRegistered,
    UserRenamed,
    UserRoleChanged,
)
from projections.headcount import HEADCOUNT
from projections.projection import Projection
from projections.registry import PROJECTIONS
from projections.users import USERS
from tests.benchmarks import harness, library_runner
from tests.support.log.drafts import context
from tests.support.views.directory import ReadSide, execute
from tests.support.views.projectors import run_projectors

EVENTS: Final = 20_000
TARGET: Final = 10.0
_CALLERS: Final = 256
_EMPTY_VIEWS: Final = "TRUNCATE users_g1, headcount_g1, headcount_g1_counters"


async def catch_up(url: str, given: harness.Options) -> Sequence[harness.Comparison]:
    """Compares each projection alone, then all together; the twin always fills a table of users."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(30))
    async with ReadSide.open(url) as read_side:
        await _fill(read_side, given.rows)
        await library_runner.prepare(read_side.events.feed)

        async def twin(seconds: float) -> float:
            return await asyncio.to_thread(library_runner.events_per_second, url, seconds)

        found = [
            await _compare_projections(read_side, projections, twin, given)
            for projections in ((USERS,), (HEADCOUNT,), PROJECTIONS)
        ]
        assert await read_side.differences() == []
    return found


async def _compare_projections(
    read_side: ReadSide,
    projections: tuple[Projection[Any], ...],
    twin: harness.Measured,
    given: harness.Options,
) -> harness.Comparison:
    names = " + ".join(projection.name for projection in projections)
    spent: list[float] = []

    async def ours(_: float) -> float:
        """Projects the whole log, without a time limit."""
        await execute(read_side.url, _EMPTY_VIEWS)
        await execute(read_side.url, "UPDATE checkpoints SET position = 0")
        seconds, cpu = await _catch_up(read_side, projections)
        spent.append(cpu / given.rows * 1e6)
        return given.rows / seconds

    found = await harness.compare(f"catching up: {names}", twin, ours, given, target=TARGET)
    sys.stdout.write(f"{names}: {min(spent):.0f} µs of CPU time of this process per event\n")
    return found


async def _fill(read_side: ReadSide, events: int) -> None:
    """Half of the users get one change right after their registration."""
    limit = asyncio.Semaphore(_CALLERS)

    async def user(number: int) -> None:
        async with limit:
            history = _history(number)
            draft = Draft(
                kind="user", stream=uuid7(), after_version=0, events=history, context=context()
            )
            await read_side.events.log.append(draft)

    # Two users have three events together.
    await asyncio.gather(*(user(number) for number in range(events * 2 // 3)))


def _history(number: int) -> tuple[Event, ...]:
    first, last = random.choice(("Åsa", "José", "Anna", "Zoë")), f"Last{random.randrange(50_000)}"
    registered = UserRegistered(
        name=f"{first} {last}",
        email=f"{last}.{number}@example.org",
        role="member",
        external_id=f"e-{number}",
        attributes={"department": "Sales", "phones": ["+46 123", "+46 345"], "floor": number % 9},
    )
    match number % 4:
        case 0:
            return registered, UserRoleChanged(role="owner", previous=PreviousRole("member"))
        case 2:
            previous = PreviousName(f"{first} {last}")
            return registered, UserRenamed(name=f"{first} {last}-Berg", previous=previous)
        case _:
            return (registered,)


async def _catch_up(
    read_side: ReadSide, projections: tuple[Projection[Any], ...]
) -> tuple[float, float]:
    """Seconds of wall time, and of CPU time of this process."""
    head = await read_side.events.feed.head()
    names = [projection.name for projection in projections]
    began, cpu = time.perf_counter(), time.process_time()
    slots = [Slot(projection) for projection in projections]
    work = asyncio.create_task(
        run_projectors(slots, read_side.views, read_side.events.feed, read_side.doorbell)
    )
    reached = "SELECT min(position) FROM checkpoints WHERE projection = ANY(%s)"
    while (await execute(read_side.url, reached, names))[0][0] < head:
        await asyncio.sleep(0.02)
    seconds = time.perf_counter() - began, time.process_time() - cpu
    work.cancel()
    with suppress(asyncio.CancelledError):
        await work
    return seconds


if __name__ == "__main__":
    harness.run(catch_up, str(__doc__), rows=EVENTS)
