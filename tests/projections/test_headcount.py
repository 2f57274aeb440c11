"""The contribution of each user to the counters."""

import pytest

from domain.event import ERASED, Event
from domain.user.events import (
    PreviousName,
    PreviousRole,
    UserDeleted,
    UserErased,
    UserReinstated,
    UserRenamed,
    UserRestored,
    UserRoleChanged,
    UserSuspended,
)
from projections.headcount import Headcount, contribution, evolve
from tests.support.views.histories import history, recorded, registered

DAY = "registered:2024-05-06"


def counts_after(*events: Event) -> dict[str, int]:
    record: Headcount | None = None
    for event in history(*events):
        record = evolve(record, event)
    assert record is not None
    return dict(contribution(record))


@pytest.mark.parametrize(
    ("events", "counts"),
    [
        ((), {"status:active": 1, "role:member": 1}),
        (
            (UserRenamed(name=ERASED, previous=PreviousName("x")),),
            {"status:active": 1, "role:member": 1},
        ),
        (
            (UserRoleChanged(role="admin", previous=PreviousRole("member")),),
            {"status:active": 1, "role:admin": 1},
        ),
        ((UserSuspended(),), {"status:suspended": 1, "role:member": 1}),
        ((UserSuspended(), UserReinstated()), {"status:active": 1, "role:member": 1}),
        ((UserDeleted(),), {"status:deleted": 1}),
        (
            (UserSuspended(), UserDeleted(), UserRestored()),
            {"status:suspended": 1, "role:member": 1},
        ),
        ((UserDeleted(), UserErased()), {"status:erased": 1}),
    ],
)
def test_a_user_counts_by_day_by_status_and_until_deleted_by_role(
    events: tuple[Event, ...], counts: dict[str, int]
) -> None:
    assert counts_after(registered(), *events) == {DAY: 1, **counts}


def test_a_history_without_a_registration_is_refused() -> None:
    with pytest.raises(ValueError, match="begins with"):
        evolve(None, recorded(UserSuspended(), 1, 1))
