"""The counts of the directory, from the counters of `headcount`."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Final, Literal

from sqlalchemy import ClauseElement, bindparam, or_, select

from application.projector.view_store import Slot
from application.queries.directory import DayCount, Stats
from infrastructure.views.sql.tables import tables_of
from projections.headcount import REGISTERED, ROLE, STATUS, Headcount

_DAYS: Final = 30
_WEEK: Final = 7


@lru_cache
def counters(slot: Slot[Headcount]) -> ClauseElement:
    """The name and value of each counter; counters of days only from `first_day` on."""
    table = tables_of(slot).counters
    assert table is not None
    name = table.c.counter
    return select(name, table.c.value).where(
        or_(~name.startswith(REGISTERED), name >= bindparam("first_day"))
    )


def first_day(now: datetime) -> str:
    """The name of the oldest day's counter that `statistics` uses."""
    return f"{REGISTERED}{_days(now)[0].isoformat()}"


def statistics(counts: Mapping[str, int], now: datetime) -> Stats:
    """The statistics from the counters; registrations of 30 days (UTC) that end today."""
    by_status = {
        status: counts.get(f"{STATUS}{status}", 0)
        for status in ("active", "suspended", "deleted", "erased")
    }
    roles = {
        name.removeprefix(ROLE): count
        for name, count in sorted(counts.items())
        if name.startswith(ROLE) and count
    }
    days = [day.isoformat() for day in _days(now)]
    registered = [DayCount(day, counts.get(f"{REGISTERED}{day}", 0)) for day in days]
    return Stats(
        active=by_status["active"],
        suspended=by_status["suspended"],
        deleted=by_status["deleted"],
        erased=by_status["erased"],
        total=sum(by_status.values()),
        by_role=roles,
        registered=registered,
        trend=_trend([day.count for day in registered]),
    )


def _days(now: datetime) -> list[date]:
    today = now.astimezone(UTC).date()
    return [today - timedelta(days=back) for back in reversed(range(_DAYS))]


def _trend(counts: list[int]) -> Literal["up", "none", "down"]:
    """The last seven days, today included, against the seven before."""
    last, before = sum(counts[-_WEEK:]), sum(counts[-2 * _WEEK : -_WEEK])
    if last == before:
        return "none"
    return "up" if last > before else "down"
