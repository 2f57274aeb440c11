"""How fast the projectors catch up with a log of sealed events, in this process.

Run as `python -m tests.benchmarks.catch_up [EVENTS]`; ROLLBOOK_TEST_DATABASE_URL names the server.
"""

import asyncio
import random
import sys
import time
from contextlib import suppress
from typing import Any, Final

import structlog
import uvloop
from uuid_utils.compat import uuid7

from application.event_log import Draft
from application.project import run_projectors
from application.views import Slot
from domain.event import Event
from domain.user.events import (
    PreviousName,
    PreviousRole,
    UserRegistered,
    UserRenamed,
    UserRoleChanged,
)
from infrastructure.migrations import migrate
from projections.headcount import HEADCOUNT
from projections.projection import Projection
from projections.registry import PROJECTIONS
from projections.users import USERS
from tests.drafts import context
from tests.integration.views import ReadSide, execute
from tests.servers import database, postgres_server

_CALLERS: Final = 256
_AT_THE_START: Final = "TRUNCATE users_g1, headcount_g1, headcount_g1_counters"


async def main(url: str, events: int) -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(30))
    await migrate(url)
    async with ReadSide.open(url) as read_side:
        await _fill(read_side, events)
        for projections in ((USERS,), (HEADCOUNT,), PROJECTIONS):
            await execute(url, _AT_THE_START)
            await execute(url, "UPDATE checkpoints SET position = 0")
            seconds, cpu = await _catch_up(read_side, projections)
            names = " + ".join(projection.name for projection in projections)
            sys.stdout.write(
                f"{names:>20}: {events / seconds:8.0f} events/s, "
                f"{cpu / events * 1e6:.0f} µs of this process an event\n"
            )
        assert await read_side.differences() == []


async def _fill(read_side: ReadSide, events: int) -> None:
    """Half of the users are changed once, right after they came."""
    room = asyncio.Semaphore(_CALLERS)

    async def user(number: int) -> None:
        async with room:
            history = _history(number)
            draft = Draft(
                kind="user", stream=uuid7(), after_version=0, events=history, context=context()
            )
            await read_side.events.log.append(draft)

    # Two users have three events.
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
    """Seconds by the wall and of this process's time."""
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
    with postgres_server() as server, database(server) as fresh:
        uvloop.run(main(fresh, int(sys.argv[1]) if len(sys.argv) > 1 else 20_000))
