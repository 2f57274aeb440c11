"""The events or the refusal of each command, for each state of a user."""

from typing import Any

import pytest

from domain.errors import (
    InvalidValue,
    UserAlreadyExists,
    UserIsDeleted,
    UserIsErased,
    UserNotFound,
)
from domain.event import ERASED
from domain.user.commands import (
    ChangeUser,
    DeleteUser,
    EraseUser,
    ReinstateUser,
    ReplaceUser,
    RestoreUser,
    SuspendUser,
    UserCommand,
)
from domain.user.events import (
    PreviousEmail,
    PreviousExternalId,
    PreviousName,
    PreviousRole,
    UserAttributesChanged,
    UserDeleted,
    UserEmailChanged,
    UserErased,
    UserEvent,
    UserExternalIdChanged,
    UserRegistered,
    UserReinstated,
    UserRenamed,
    UserRestored,
    UserRoleChanged,
    UserSuspended,
)
from domain.user.state import User
from domain.values import EmailAddress, ExternalId, PersonName, Role
from tests.domain.given import REGISTER_ZOE, given, zoe

RENAME = ChangeUser(name=PersonName.parse("Zoë Ó Súilleabháin"))
RENAMED = UserRenamed(name="Zoë Ó Súilleabháin", previous=PreviousName("Zoë"))
REPLACE = ReplaceUser(
    name=PersonName.parse("李雷"),
    email=EmailAddress.parse("li.lei@example.net"),
    role=Role.parse("lead"),
    external_id=ExternalId.parse("hr-8"),
    attributes={"city": "Łódź"},
)
EDITS: list[UserCommand] = [RENAME, REPLACE, ChangeUser(), SuspendUser(), ReinstateUser()]
ALL_BUT_REGISTER: list[UserCommand] = [*EDITS, RestoreUser(), DeleteUser(), EraseUser()]


def test_registering_records_all_given_fields():
    given().when(REGISTER_ZOE).then(zoe(external_id="hr-7", attributes={"floor": 3}))


@pytest.mark.parametrize("later", [(), (UserSuspended(),), (UserDeleted(),), (UserErased(),)])
def test_an_id_is_registered_only_once(later: tuple[UserEvent, ...]):
    given(zoe(), *later).when(REGISTER_ZOE).then_refused(UserAlreadyExists)


@pytest.mark.parametrize("command", ALL_BUT_REGISTER)
def test_a_user_that_was_never_registered_is_not_found(command: UserCommand):
    given().when(command).then_refused(UserNotFound)


def test_each_field_that_changes_becomes_its_own_event():
    given(zoe(attributes={"floor": 3})).when(REPLACE).then(
        UserRenamed(name="李雷", previous=PreviousName("Zoë")),
        UserEmailChanged(email="li.lei@example.net", previous=PreviousEmail("zoe@example.com")),
        UserExternalIdChanged(external_id="hr-8", previous=PreviousExternalId(None)),
        UserRoleChanged(role="lead", previous=PreviousRole("member")),
        UserAttributesChanged(set={"city": "Łódź"}, removed=("floor",), previous={"floor": 3}),
    )


def test_replacing_a_user_by_the_same_fields_changes_nothing():
    same = zoe(
        name="李雷",
        email="li.lei@example.net",
        role="lead",
        external_id="hr-8",
        attributes={"city": "Łódź"},
    )
    given(same).when(REPLACE).then_nothing()


def test_an_empty_patch_changes_nothing():
    given(zoe()).when(ChangeUser()).then_nothing()


def test_a_patch_leaves_the_other_fields_alone():
    given(zoe(external_id="hr-7")).when(RENAME).then(RENAMED)


def test_another_spelling_of_the_same_address_is_a_change():
    given(zoe()).when(ChangeUser(email=EmailAddress.parse("Zoe@Example.com"))).then(
        UserEmailChanged(email="Zoe@Example.com", previous=PreviousEmail("zoe@example.com"))
    )


def test_an_external_id_can_be_removed_once():
    remove = ChangeUser(external_id=None)
    event = UserExternalIdChanged(external_id=None, previous=PreviousExternalId("hr-7"))
    given(zoe(external_id="hr-7")).when(remove).then(event)
    given(zoe(external_id="hr-7"), event).when(remove).then_nothing()


def test_a_suspended_user_can_still_be_edited():
    given(zoe(), UserSuspended()).when(RENAME).then(RENAMED)


def test_suspending_and_reinstating_keep_their_reasons():
    given(zoe()).when(SuspendUser("left keys in the door")).then(
        UserSuspended(reason="left keys in the door")
    )
    given(zoe(), UserSuspended()).when(ReinstateUser("found them")).then(
        UserReinstated(reason="found them")
    )


def test_suspending_twice_and_reinstating_an_active_user_change_nothing():
    given(zoe(), UserSuspended()).when(SuspendUser("again")).then_nothing()
    given(zoe()).when(ReinstateUser()).then_nothing()


def test_deleting_twice_and_restoring_a_live_user_change_nothing():
    given(zoe()).when(DeleteUser("left")).then(UserDeleted(reason="left"))
    given(zoe(), UserDeleted()).when(DeleteUser()).then_nothing()
    given(zoe()).when(RestoreUser()).then_nothing()
    given(zoe(), UserSuspended()).when(RestoreUser()).then_nothing()


@pytest.mark.parametrize("command", EDITS)
def test_a_deleted_user_cannot_be_edited(command: UserCommand):
    given(zoe(), UserDeleted()).when(command).then_refused(UserIsDeleted)


@pytest.mark.parametrize(("before", "status"), [((), "active"), ((UserSuspended(),), "suspended")])
def test_a_restored_user_is_what_it_was_before_the_deletion(
    before: tuple[UserEvent, ...], status: str
):
    deleted = given(zoe(), *before, UserDeleted())
    user = deleted.when(RestoreUser("back")).then(UserRestored(reason="back"))
    assert user is not None
    assert user.status == status


@pytest.mark.parametrize("before", [(), (UserSuspended(),), (UserDeleted(),)])
def test_erasing_leaves_only_the_role(before: tuple[UserEvent, ...]):
    user = given(zoe(), *before).when(EraseUser("retention")).then(UserErased(reason="retention"))
    assert user == User(
        name=ERASED,
        email=ERASED,
        role="member",
        external_id=ERASED,
        attributes=ERASED,
        status="erased",
    )


@pytest.mark.parametrize("command", [*EDITS, RestoreUser()])
def test_an_erased_user_refuses_every_change(command: UserCommand):
    given(zoe(), UserErased()).when(command).then_refused(UserIsErased)


def test_deleting_or_erasing_an_erased_user_changes_nothing():
    given(zoe(), UserErased()).when(DeleteUser()).then_nothing()
    given(zoe(), UserErased()).when(EraseUser("error")).then_nothing()


def test_a_user_whose_key_is_gone_can_be_erased_but_not_edited():
    unreadable = UserRegistered(name=ERASED, email=ERASED, role="member", external_id=ERASED)
    given(unreadable).when(RENAME).then_refused(UserIsErased)
    given(unreadable).when(EraseUser()).then(UserErased())


def test_attributes_are_merged_as_rfc_7396_says():
    before = {"floor": 3, "desk": {"room": "B", "seat": 4}, "tags": ["a"], "car": None}
    patch: dict[str, Any] = {"floor": None, "desk": {"seat": None, "lamp": True}, "tags": ["b"]}
    given(zoe(attributes=before)).when(ChangeUser(attributes=patch)).then(
        UserAttributesChanged(
            set={"desk": {"room": "B", "lamp": True}, "tags": ["b"]},
            removed=("floor",),
            previous={"desk": {"room": "B", "seat": 4}, "tags": ["a"], "floor": 3},
        )
    )


def test_a_merge_patch_that_changes_nothing_records_nothing():
    before = {"floor": 3, "desk": {"room": "B"}}
    patch: dict[str, Any] = {"floor": 3, "desk": {"seat": None}, "car": None}
    given(zoe(attributes=before)).when(ChangeUser(attributes=patch)).then_nothing()


def test_true_and_one_are_different_values_at_any_depth():
    given(zoe(attributes={"parking": [1]})).when(ChangeUser(attributes={"parking": [True]})).then(
        UserAttributesChanged(set={"parking": [True]}, removed=(), previous={"parking": [1]})
    )
    given(zoe(attributes={"parking": 1})).when(
        ChangeUser(attributes={"parking": 1.0})
    ).then_nothing()


def test_merged_attributes_must_stay_within_their_limits():
    full = {f"key-{number}": number for number in range(64)}
    one_more = ChangeUser(attributes={"another": 1})
    given(zoe(attributes=full)).when(one_more).then_refused(InvalidValue)


def test_stored_attributes_beyond_the_limits_do_not_prevent_other_changes():
    too_many = {f"key-{number}": number for number in range(65)}
    given(zoe(attributes=too_many)).when(RENAME).then(RENAMED)
