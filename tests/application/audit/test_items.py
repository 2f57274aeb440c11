"""The changes that an audit item shows for each event."""

from typing import Any

import pytest

from application.audit.items import Change, StatusBefore, audit_item, needs_status
from domain.event import ERASED, Event
from domain.user.events import (
    PreviousEmail,
    PreviousExternalId,
    PreviousName,
    PreviousRole,
    UserAttributesChanged,
    UserDeleted,
    UserEmailChanged,
    UserErased,
    UserExternalIdChanged,
    UserReinstated,
    UserRenamed,
    UserRestored,
    UserRoleChanged,
    UserSuspended,
)
from tests.support.views.histories import recorded, registered

SUSPENDED = StatusBefore("suspended")
DELETED = StatusBefore("deleted", before_deletion="suspended")


def changes(
    event: Event, before: StatusBefore | None = None, *, opened: bool = True
) -> dict[str, tuple[Any, Any]]:
    item = audit_item(recorded(event, 2, 2), before, opened=opened)
    return {name: (change.before, change.after) for name, change in item.changes.items()}


@pytest.mark.parametrize(
    ("event", "changed"),
    [
        (UserRenamed(name="B", previous=PreviousName("A")), {"name": ("A", "B")}),
        (UserEmailChanged(email="b@x", previous=PreviousEmail("a@x")), {"email": ("a@x", "b@x")}),
        (
            UserExternalIdChanged(external_id="b", previous=PreviousExternalId(None)),
            {"external_id": (None, "b")},
        ),
        (UserRoleChanged(role="b", previous=PreviousRole("a")), {"role": ("a", "b")}),
        (
            UserAttributesChanged(set={"b": 2}, removed=("a",), previous={"a": 1}),
            {"attributes": ({"a": 1}, {"b": 2})},
        ),
        (UserSuspended(), {"status": ("active", "suspended")}),
        (UserReinstated(), {"status": ("suspended", "active")}),
    ],
    ids=lambda value: value.topic if isinstance(value, Event) else "",
)
def test_an_item_shows_the_value_before_and_after(
    event: Event, changed: dict[str, tuple[Any, Any]]
) -> None:
    assert changes(event) == changed


def test_a_registration_shows_every_field_and_the_status() -> None:
    event = registered(external_id="e", attributes={"a": 1})
    assert changes(event) == {
        "name": (None, "Zoë"),
        "email": (None, "Zoe@Example.com"),
        "role": (None, "member"),
        "external_id": (None, "e"),
        "attributes": (None, {"a": 1}),
        "status": (None, "active"),
    }


def test_without_permission_only_role_and_status_are_shown() -> None:
    shown = {name for name, (_, after) in changes(registered(), opened=False).items() if after}
    assert shown == {"role", "status"}


@pytest.mark.parametrize(
    ("event", "before", "status"),
    [
        (UserDeleted(), SUSPENDED, ("suspended", "deleted")),
        (UserRestored(), DELETED, ("deleted", "suspended")),
        (UserErased(), DELETED, ("deleted", "erased")),
    ],
)
def test_an_item_shows_the_status_before(
    event: Event, before: StatusBefore, status: tuple[str, str]
) -> None:
    assert needs_status(event)
    assert changes(event, before) == {"status": status}


def test_erased_values_are_null() -> None:
    event = UserRenamed(name=ERASED, previous=ERASED)
    item = audit_item(recorded(event, 2, 2), None, opened=True)
    assert (item.changes, item.personal) == ({"name": Change(None, None)}, "erased")
