"""Each field of a user is in every form of a user, from the command to the answers."""

from types import NoneType
from typing import Final, get_args, get_type_hints

import msgspec
import pytest

from application.audit.blame import UserBlame
from application.queries import resources
from domain.event import changed_field, personal_fields
from domain.user.commands import ChangeUser, RegisterUser, ReplaceUser
from domain.user.events import FieldChanged, UserRegistered
from domain.user.state import PERSONAL, User
from interfaces.http.schemas.users import ChangeBody, RegisterBody, ReplaceBody
from projections.users import UserView

FIELDS: Final = set(UserRegistered.__struct_fields__)
RECORDED: Final = {"id", "version", "created_at", "updated_at"}
FORMS: Final = {
    "command to register": (RegisterUser.__struct_fields__, {"user_id"}),
    "command to replace": (ReplaceUser.__struct_fields__, set[str]()),
    "command to change": (ChangeUser.__struct_fields__, set[str]()),
    "body to register": (RegisterBody.model_fields, {"id", "import_key"}),
    "body to replace": (ReplaceBody.model_fields, set[str]()),
    "body to change": (ChangeBody.__annotations__, set[str]()),
    "state": (User.__struct_fields__, {"status", "before_deletion"}),
    "view": (UserView.__struct_fields__, {"status", *RECORDED}),
    "answer": (resources.User.__struct_fields__, {"status", "personal", *RECORDED}),
    "blame": (UserBlame.__struct_fields__, {"status", "personal", "id", "version"}),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_form_has_every_field_of_a_user(form: str) -> None:
    fields, others = FORMS[form]
    assert set(fields) == FIELDS | others


def test_every_field_has_an_event_that_changes_it() -> None:
    changes: tuple[type[FieldChanged], ...] = get_args(FieldChanged)
    # Attributes change by key, with an event of their own.
    assert {changed_field(event) for event in changes} | {"attributes"} == FIELDS


def test_the_same_fields_are_personal_in_the_registration_and_the_state() -> None:
    assert PERSONAL == personal_fields(UserRegistered) == FIELDS - {"role"}


@pytest.mark.parametrize("form", [UserView, resources.User])
def test_a_personal_field_may_be_null_once_the_person_is_erased(form: type[msgspec.Struct]) -> None:
    types = get_type_hints(form)
    assert {name for name in FIELDS if NoneType in get_args(types[name])} == PERSONAL
