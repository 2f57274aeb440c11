"""The status of each projection."""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from msgspec import Struct
from sqlalchemy import text

from application.context import TENANT
from application.log.event_log import EventFeed
from application.projector.view_store import ProjectionProgress
from application.queries.directory import ProjectionStatus
from infrastructure.views.sql.parked_counts import parked_counts
from infrastructure.views.sql.reader import ViewReader
from infrastructure.views.sql.slot_lock import lock_of
from projections.projection import Projection

# A smaller lag is normal for an event on its way from the log to a view.
_BEHIND_SECONDS: Final = 2.0

# A leader is found by its lock: unlike a heartbeat in a table, a lock costs no write and cannot
# outlive the session that holds it.
_HELD_LOCKS: Final = text(
    Path(__file__).with_name("held_locks.sql").read_text().replace(":", "\\:")
)
_FORMER: Final = text("""
SELECT DISTINCT ON (g.projection) g.projection, g.generation
FROM generations g JOIN projections p ON p.tenant = g.tenant AND p.name = g.projection
WHERE g.tenant = :tenant AND g.state = 'following' AND g.retired_at IS NOT NULL
  AND g.generation <> p.generation
ORDER BY g.projection, g.retired_at DESC""")
_PAUSED: Final = text(
    "SELECT name FROM projections WHERE tenant = :tenant AND paused_at IS NOT NULL"
)


class StatusContext(Struct, frozen=True):
    """The data from which the statuses of all projections are derived."""

    parked: Mapping[tuple[str, int], int]
    held_locks: frozenset[int]
    paused: frozenset[str]
    former: Mapping[str, int]
    head: int


async def status_context(reader: ViewReader, feed: EventFeed) -> StatusContext:
    """The present data. Raises `Unavailable`."""
    parked = await parked_counts(reader)
    locks = await reader.rows(_HELD_LOCKS)
    paused = await reader.rows(_PAUSED, {"tenant": TENANT})
    former = await reader.rows(_FORMER, {"tenant": TENANT})
    return StatusContext(
        parked,
        frozenset(row[0] for row in locks),
        frozenset(row[0] for row in paused),
        {row[0]: row[1] for row in former},
        await feed.head(),
    )


async def status_of(
    projection: Projection[Any],
    progress: ProjectionProgress,
    context: StatusContext,
    feed: EventFeed,
    now: datetime,
) -> ProjectionStatus:
    """One projection's status; `progress` was read before `context`. Raises `Unavailable`.

    Its state is `paused` if an administrator paused it, else `stopped` if it has no leader, else `catching-up` if the oldest unapplied event is older than 2 s, else `parked` if
    streams are parked, else `live`.
    """
    lag_seconds = await _age_of_next(progress.position, context.head, feed, now)
    parked = context.parked.get((projection.name, progress.generation), 0)
    if projection.name in context.paused:
        state = "paused"
    elif lock_of(projection.name, progress.generation) not in context.held_locks:
        state = "stopped"
    elif lag_seconds > _BEHIND_SECONDS:
        state = "catching-up"
    else:
        state = "parked" if parked else "live"
    return ProjectionStatus(
        name=projection.name,
        generation=progress.generation,
        former=context.former.get(projection.name),
        position=progress.position,
        head=context.head,
        lag=context.head - progress.position,
        lag_seconds=lag_seconds,
        parked=parked,
        state=state,
    )


async def _age_of_next(position: int, head: int, feed: EventFeed, now: datetime) -> float:
    """How many seconds ago the first event after a position was recorded; 0 at the head."""
    if position >= head:
        return 0.0
    page = await feed.read(position, 1)
    if not page.events:
        return 0.0
    return max(0.0, (now - page.events[0].recorded_at).total_seconds())
