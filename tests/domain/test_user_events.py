"""The stored events of a user: topics, fields and older schema versions."""

from typing import get_args

import pytest
from msgspec.structs import fields

from domain.catalogue import EVENT_TYPES, kind_of
from domain.event import ERASED, Event, changed_field
from domain.user.events import USER_EVENTS, FieldChanged, UserRegistered
from domain.user.state import fold


def test_every_topic_exists_once_and_has_the_kind_user():
    topics = [event.topic for event in USER_EVENTS]
    of_users = [topic for topic in EVENT_TYPES if kind_of(topic) == "user"]
    assert sorted(of_users) == sorted(set(topics)) == sorted(topics)
    assert {kind_of(topic) for topic in topics} == {"user"}


def test_all_fields_are_personal_but_the_role_and_the_code_of_an_erasure():
    not_personal = {
        f"{event.topic} {name}"
        for event in USER_EVENTS
        for name in event.__struct_fields__
        if name not in event.personal
    }
    assert not_personal == {
        "user.registered role",
        "user.role_changed role",
        "user.role_changed previous",
        "user.erased reason",
    }


def test_an_event_that_sets_one_field_names_it_first_and_then_its_earlier_value():
    changes: tuple[type[FieldChanged], ...] = get_args(FieldChanged)
    for event in changes:
        assert event.__struct_fields__ == (changed_field(event), "previous")
        previous = next(each.type for each in fields(event) if each.name == "previous")
        (values, *_) = get_args(previous) or (previous,)
        assert values.__struct_fields__ == (changed_field(event),)


@pytest.mark.parametrize("event", USER_EVENTS, ids=lambda event: event.topic)
def test_every_older_schema_version_has_an_upcaster(event: type[Event]):
    assert set(event.upcasters) == set(range(1, event.schema_version))


def test_a_registration_of_version_1_had_no_attributes():
    stored = {"name": "Zoë", "email": "zoe@example.com", "role": "member"}
    upcast = UserRegistered.upcasters[1](stored)
    assert UserRegistered(**upcast) == UserRegistered(
        name="Zoë", email="zoe@example.com", role="member", attributes={}
    )


def test_a_registration_of_version_1_loads_when_the_person_is_erased():
    stored = {"name": ERASED, "email": ERASED, "external_id": ERASED, "role": "member"}
    user = fold([UserRegistered(**UserRegistered.upcasters[1](stored))])
    assert user is not None
    assert (user.name, user.role) == (ERASED, "member")


def test_upcasting_does_not_change_the_stored_data():
    stored = {"name": "Zoë", "email": "zoe@example.com", "role": "member"}
    UserRegistered.upcasters[1](stored)
    assert "attributes" not in stored
