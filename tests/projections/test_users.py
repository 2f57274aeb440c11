"""The row of a user in the directory after each event."""

from datetime import timedelta

import pytest

from domain.event import ERASED, Event
from domain.user.events import (
    USER_EVENTS,
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
from projections.users import USERS, UserRow, evolve
from tests.support.views.histories import START, ZOE, history, recorded, registered


def row_after(*events: Event) -> UserRow:
    row = None
    for event in history(*events):
        row = evolve(row, event)
    assert row is not None
    return row


def zoe(**fields: object) -> UserRow:
    defaults: dict[str, object] = {
        "id": ZOE,
        "external_id": None,
        "name": "Zoë",
        "email": "Zoe@Example.com",
        "role": "member",
        "status": "active",
        "attributes": {},
        "version": 1,
        "created_at": START + timedelta(seconds=1),
        "updated_at": START + timedelta(seconds=1),
    }
    return UserRow(**{**defaults, **fields})  # pyright: ignore[reportArgumentType]


SECOND = {"version": 2, "updated_at": START + timedelta(seconds=2)}
THIRD = {"version": 3, "updated_at": START + timedelta(seconds=3)}


def test_a_registered_user_has_the_given_fields() -> None:
    event = registered(external_id="e-1", attributes={"team": "blue"})
    assert row_after(event) == zoe(external_id="e-1", attributes={"team": "blue"})


@pytest.mark.parametrize(
    ("event", "changed"),
    [
        (UserRenamed(name="Zoe B", previous=PreviousName("Zoë")), {"name": "Zoe B"}),
        (
            UserEmailChanged(email="z@b.org", previous=PreviousEmail("Zoe@Example.com")),
            {"email": "z@b.org"},
        ),
        (
            UserExternalIdChanged(external_id="x", previous=PreviousExternalId(None)),
            {"external_id": "x"},
        ),
        (UserRoleChanged(role="admin", previous=PreviousRole("member")), {"role": "admin"}),
        (UserSuspended(reason="holiday"), {"status": "suspended"}),
        (UserDeleted(), {"status": "deleted"}),
    ],
)
def test_each_change_sets_the_version_and_time_of_its_event(
    event: Event, changed: dict[str, object]
) -> None:
    assert row_after(registered(), event) == zoe(**changed, **SECOND)


def test_attributes_are_set_and_removed() -> None:
    event = UserAttributesChanged(set={"b": 2, "c": 3}, removed=("a",), previous={})
    assert row_after(registered(attributes={"a": 1, "b": 1}), event) == zoe(
        attributes={"b": 2, "c": 3}, **SECOND
    )


def test_a_reinstated_user_is_active() -> None:
    assert row_after(registered(), UserSuspended(), UserReinstated()) == zoe(**THIRD)


@pytest.mark.parametrize(("before", "status"), [((), "active"), ((UserSuspended(),), "suspended")])
def test_a_restored_user_has_the_status_from_before_the_deletion(
    before: tuple[Event, ...], status: str
) -> None:
    assert row_after(registered(), *before, UserDeleted(), UserRestored()).status == status


def test_an_erased_user_stays_as_a_row_without_personal_data() -> None:
    row = row_after(registered(external_id="e", attributes={"a": 1}), UserErased())
    assert row == zoe(name=None, email=None, attributes=None, status="erased", **SECOND)


def test_every_event_is_accepted_with_erased_personal_fields() -> None:
    for event_type in USER_EVENTS[1:]:
        erased = dict.fromkeys(event_type.personal, ERASED)
        others = (
            {"role": "x", "previous": PreviousRole("y")} if "Role" in event_type.__name__ else {}
        )
        start = registered(name=ERASED, email=ERASED, external_id=ERASED, attributes=ERASED)
        row = row_after(start, event_type(**erased, **others))  # pyright: ignore
        assert (row.name, row.email, row.external_id, row.attributes) == (None, None, None, None)


def test_keys_and_words_are_folded() -> None:
    row = zoe(name="Ærø  Łŭk-Straße", email="Änne.X@Bücher.example")
    keys = {key.name: key.of(row) for key in USERS.keys}
    assert keys == {
        "name_key": "ærø  łuk-strasse",
        "email_key": "anne.x@bucher.example",
        "email_comparable": "änne.x@xn--bcher-kva.example",
    }
    assert USERS.words[0].of(row) == [
        "1ærø",
        "0łuk",
        "0strasse",
        "2anne.x",
        "0x",
        "0bucher.example",
        "0example",
    ]


def test_an_erased_user_sorts_first_and_has_no_words() -> None:
    row = zoe(name=None, email=None)
    assert [key.of(row) for key in USERS.keys] == ["", "", ""]
    assert USERS.words[0].of(row) == []


def test_a_history_without_a_registration_is_refused() -> None:
    with pytest.raises(ValueError, match="begins with"):
        evolve(None, recorded(UserSuspended(), 1, 1))


def test_an_event_of_another_kind_is_refused() -> None:
    class Unknown(Event, frozen=True):
        topic = "user.unknown"

    with pytest.raises(AssertionError, match="Unknown"):
        row_after(registered(), Unknown())
