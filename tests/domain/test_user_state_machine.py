"""Random histories of a user, compared at every step with a small independent model."""

import json
from typing import Any, cast

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from msgspec import UNSET
from msgspec.structs import replace

from domain.errors import UserIsDeleted, UserIsErased
from domain.event import ERASED
from domain.user.claims import claims_of
from domain.user.commands import (
    ChangeUser,
    DeleteUser,
    EraseUser,
    RegisterUser,
    ReinstateUser,
    ReplaceUser,
    RestoreUser,
    SuspendUser,
    UserCommand,
)
from domain.user.decide import decide
from domain.user.events import UserEvent
from domain.user.state import User, fold
from domain.values import EmailAddress, ExternalId, PersonName, Role
from tests.domain.given import ZOE_ID

names = st.sampled_from(["Zoë", "李雷", "Åsa"]).map(PersonName.parse)
emails = st.sampled_from(["zoe@example.com", "ZOE@Example.com", "asa@exämple.com"]).map(
    EmailAddress.parse
)
roles = st.sampled_from(["member", "lead"]).map(Role.parse)
external_ids = st.sampled_from(["hr-7", "hr-8", None]).map(
    lambda text: None if text is None else ExternalId.parse(text)
)
leaves = st.sampled_from([None, True, False, 0, 1, 1.0, 2.5, "", "1", "Łódź"])
json_values = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("ab"), inner),
    max_leaves=4,
)
attributes = st.dictionaries(st.sampled_from("abc"), json_values, max_size=3)


def canonical(value: Any) -> str:
    """JSON with sorted keys and whole numbers without a fraction: equal values give equal text."""
    text = json.dumps(value, sort_keys=True)
    return json.dumps(
        json.loads(
            text, parse_float=lambda digits: int(n) if (n := float(digits)) == int(n) else n
        ),
        sort_keys=True,
    )


def merge_patch(target: Any, patch: Any) -> Any:
    """The pseudocode of RFC 7396, section 2, word for word."""
    if not isinstance(patch, dict):
        return patch
    result: dict[str, Any] = {}
    if isinstance(target, dict):
        result.update(cast("dict[str, Any]", target))
    for name, value in cast("dict[str, Any]", patch).items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merge_patch(result.get(name), value)
    return result


class Model:
    """A person as a dictionary and three flags."""

    def __init__(self, **fields: Any) -> None:
        self.fields = fields
        self.suspended = self.deleted = self.erased = False

    @property
    def status(self) -> str:
        if self.erased:
            return "erased"
        if self.deleted:
            return "deleted"
        return "suspended" if self.suspended else "active"

    def edit(self, **wanted: Any) -> int:
        changed = {k for k, v in wanted.items() if canonical(v) != canonical(self.fields[k])}
        self.fields.update(wanted)
        return len(changed)

    def set(self, flag: str, *, to: bool) -> int:
        changed = getattr(self, flag) != to
        setattr(self, flag, to)
        return int(changed)


class UserHistory(RuleBasedStateMachine):
    history: tuple[UserEvent, ...] = ()

    @initialize(name=names, email=emails, role=roles, external_id=external_ids, given=attributes)
    def register(
        self, name: PersonName, email: EmailAddress, role: Role, external_id: Any, given: Any
    ) -> None:
        command = RegisterUser(
            user_id=ZOE_ID,
            name=name,
            email=email,
            role=role,
            external_id=external_id,
            attributes=given,
        )
        self.history = decide(None, command)
        self.model = Model(**self._texts(command, given))

    @rule(name=names, email=emails, role=roles, external_id=external_ids, given=attributes)
    def replace(
        self, name: PersonName, email: EmailAddress, role: Role, external_id: Any, given: Any
    ) -> None:
        command = ReplaceUser(
            name=name, email=email, role=role, external_id=external_id, attributes=given
        )
        self._edit(command, self._texts(command, given))

    @rule(
        name=st.just(UNSET) | names,
        email=st.just(UNSET) | emails,
        role=st.just(UNSET) | roles,
        external_id=st.just(UNSET) | external_ids,
        patch=st.just(UNSET) | attributes,
    )
    def change(self, name: Any, email: Any, role: Any, external_id: Any, patch: Any) -> None:
        command = ChangeUser(
            name=name, email=email, role=role, external_id=external_id, attributes=patch
        )
        after = patch if patch is UNSET else merge_patch(self.model.fields["attributes"], patch)
        self._edit(command, self._texts(command, after))

    @rule()
    def suspend(self) -> None:
        self._edit(SuspendUser(), flag="suspended", to=True)

    @rule()
    def reinstate(self) -> None:
        self._edit(ReinstateUser(), flag="suspended", to=False)

    @rule()
    def delete(self) -> None:
        gone = self.model.deleted or self.model.erased
        self._expect(DeleteUser(), 0 if gone else self.model.set("deleted", to=True))

    @rule()
    def restore(self) -> None:
        if self.model.erased:
            self._refused(RestoreUser(), UserIsErased)
        else:
            self._expect(RestoreUser(), self.model.set("deleted", to=False))

    @rule(one_in_ten=st.integers(0, 9))
    def erase(self, one_in_ten: int) -> None:
        if one_in_ten == 0:
            self._expect(EraseUser(), self.model.set("erased", to=True))

    @invariant()
    def the_fold_of_the_history_is_the_model(self) -> None:
        user = fold(self.history)
        if user is None:
            return
        expected = dict(self.model.fields)
        if self.model.erased:
            expected = {k: v if k == "role" else ERASED for k, v in expected.items()}
        actual = {field: getattr(user, field) for field in expected}
        if not self.model.erased:
            assert canonical(actual.pop("attributes")) == canonical(expected.pop("attributes"))
        assert actual == expected
        assert user.status == self.model.status
        self._check_claims(user)

    @invariant()
    def the_history_still_folds_without_the_key(self) -> None:
        erased = [replace(e, **dict.fromkeys(e.personal, ERASED)) for e in self.history]
        user, full = fold(erased), fold(self.history)
        if user is None or full is None:
            return
        assert (user.status, user.role) == (full.status, full.role)
        personal = (user.name, user.email, user.external_id, user.attributes)
        assert all(value is ERASED for value in personal)
        assert claims_of(user) == {}

    def _check_claims(self, user: User) -> None:
        claims = dict(claims_of(user))
        if self.model.status in ("deleted", "erased"):
            assert claims == {}
            return
        assert claims.pop("email") == EmailAddress.parse(self.model.fields["email"]).comparable
        assert claims.pop("external_id", None) == self.model.fields["external_id"]
        assert claims == {}

    def _edit(
        self, command: UserCommand, fields: dict[str, Any] | None = None, **flag: Any
    ) -> None:
        if self.model.erased:
            self._refused(command, UserIsErased)
        elif self.model.deleted:
            self._refused(command, UserIsDeleted)
        elif fields is not None:
            self._expect(command, self.model.edit(**fields))
        else:
            self._expect(command, self.model.set(flag["flag"], to=flag["to"]))

    def _expect(self, command: UserCommand, count: int) -> None:
        events = decide(fold(self.history), command)
        assert len(events) == count
        self.history += events
        assert decide(fold(self.history), command) == (), "the same command again changes nothing"

    def _refused(self, command: UserCommand, error: type[Exception]) -> None:
        with pytest.raises(error):
            decide(fold(self.history), command)

    @staticmethod
    def _texts(command: RegisterUser | ReplaceUser | ChangeUser, attributes: Any) -> dict[str, Any]:
        fields: dict[str, Any] = {"attributes": attributes}
        for field in ("name", "email", "role", "external_id"):
            value = getattr(command, field)
            fields[field] = value if value is None or value is UNSET else value.text
        return {field: value for field, value in fields.items() if value is not UNSET}


TestUserHistory = UserHistory.TestCase
TestUserHistory.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
