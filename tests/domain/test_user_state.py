"""The state of a user after a history, and the unique values that the user claims."""

import pytest

from domain.event import ERASED
from domain.user.claims import claims_of, released, taken
from domain.user.events import (
    PreviousEmail,
    UserAttributesChanged,
    UserDeleted,
    UserEmailChanged,
    UserErased,
    UserEvent,
    UserRenamed,
    UserRestored,
    UserSuspended,
)
from domain.user.state import evolve, fold
from tests.domain.given import zoe

CLAIMS = {"email": "zoe@example.com", "external_id": "hr-7"}


def test_no_events_are_no_user():
    assert fold([]) is None
    assert claims_of(None) == {}


def test_a_history_begins_with_a_registration():
    with pytest.raises(ValueError, match="begins with"):
        evolve(None, UserSuspended())


def test_attributes_are_set_and_removed():
    change = UserAttributesChanged(set={"a": 2, "c": 3}, removed=("b",), previous={"a": 1, "b": 2})
    user = fold([zoe(attributes={"a": 1, "b": 2, "z": 0}), change])
    assert user is not None
    assert user.attributes == {"a": 2, "c": 3, "z": 0}


def test_a_change_of_erased_attributes_leaves_them_erased():
    change = UserAttributesChanged(set={"a": 2}, removed=(), previous={})
    user = fold([zoe(attributes=ERASED), change])
    assert user is not None
    assert user.attributes is ERASED


def test_an_erased_change_erases_the_field():
    user = fold(
        [
            zoe(attributes={"a": 1}),
            UserRenamed(name=ERASED, previous=ERASED),
            UserAttributesChanged(set=ERASED, removed=ERASED, previous=ERASED),
        ]
    )
    assert user is not None
    assert (user.name, user.attributes) == (ERASED, ERASED)


@pytest.mark.parametrize(
    ("later", "claims"),
    [
        ([], CLAIMS),
        ([UserSuspended()], CLAIMS),
        ([UserDeleted()], {}),
        ([UserDeleted(), UserRestored()], CLAIMS),
        ([UserErased()], {}),
        ([UserDeleted(), UserErased()], {}),
    ],
)
def test_a_user_claims_its_address_and_external_id_until_it_is_deleted(
    later: list[UserEvent], claims: dict[str, str]
):
    assert claims_of(fold([zoe(external_id="hr-7"), *later])) == claims


def test_a_user_without_an_external_id_claims_only_its_address():
    assert claims_of(fold([zoe()])) == {"email": "zoe@example.com"}


def test_another_spelling_of_the_address_is_the_same_claim():
    respelled = UserEmailChanged(email="ZOE@Example.COM", previous=PreviousEmail("zoe@example.com"))
    assert claims_of(fold([zoe(), respelled])) == claims_of(fold([zoe()]))


def test_a_user_that_ends_gives_up_every_scope_even_if_no_value_can_be_read():
    unreadable = fold([zoe(email=ERASED, external_id=ERASED)])
    for end in (UserDeleted(), UserErased()):
        after = fold([zoe(email=ERASED, external_id=ERASED), end])
        assert released(unreadable, after) == {"email": None, "external_id": None}
        assert released(after, fold([zoe(), end])) == {}
    deleted = fold([zoe(external_id="hr-7"), UserDeleted()])
    assert released(fold([zoe(external_id="hr-7")]), deleted) == CLAIMS
    assert taken(deleted, fold([zoe(external_id="hr-7"), UserDeleted(), UserRestored()])) == CLAIMS


def test_a_change_takes_and_gives_up_only_what_it_changes():
    before = fold([zoe(external_id="hr-7")])
    moved = UserEmailChanged(email="new@example.com", previous=PreviousEmail("zoe@example.com"))
    after = fold([zoe(external_id="hr-7"), moved])
    assert taken(before, after) == {"email": "new@example.com"}
    assert released(before, after) == {"email": "zoe@example.com"}
    assert (taken(None, before), released(None, before)) == (CLAIMS, {})


def test_erased_values_are_not_claimed():
    assert claims_of(fold([zoe(email=ERASED, external_id=ERASED)])) == {}
