"""The number of users by status and role, and of registrations on each day (UTC)."""

from collections.abc import Mapping
from datetime import UTC
from typing import Final, Literal

from msgspec import Struct
from msgspec.structs import replace

from domain.event import Event, Recorded
from domain.user.events import STATUS_CHANGES, UserRegistered, UserRoleChanged
from domain.user.state import Status, status_changes
from projections.projection import Projection

STATUS: Final = "status:"
ROLE: Final = "role:"
REGISTERED: Final = "registered:"


class Headcount(Struct, frozen=True, kw_only=True):
    """What one user adds to the counts; `registered` is a day as YYYY-MM-DD."""

    status: Status
    role: str
    registered: str
    before_deletion: Literal["active", "suspended"] = "active"


def evolve(record: Headcount | None, recorded: Recorded[Event]) -> Headcount:
    """The record after the event. Raises `ValueError` if the history has no beginning."""
    event = recorded.event
    if isinstance(event, UserRegistered):
        day = recorded.recorded_at.astimezone(UTC).date().isoformat()
        return Headcount(status="active", role=event.role, registered=day)
    if record is None:
        raise ValueError("the history of a user begins with user.registered")
    if isinstance(event, UserRoleChanged):
        return replace(record, role=event.role)
    if isinstance(event, STATUS_CHANGES):
        return replace(record, **status_changes(record, event))
    return record


def contribution(record: Headcount) -> Mapping[str, int]:
    """A role counts active and suspended users only. A registration always counts."""
    counts = {f"{STATUS}{record.status}": 1, f"{REGISTERED}{record.registered}": 1}
    if record.status in ("active", "suspended"):
        counts[f"{ROLE}{record.role}"] = 1
    return counts


HEADCOUNT: Final = Projection(
    name="headcount",
    kinds=frozenset({"user"}),
    view=Headcount,
    evolve=evolve,
    contribution=contribution,
)
