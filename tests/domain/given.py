"""Given a history, when a command comes, then these events follow."""

from typing import Any
from uuid import UUID

import pytest

from domain.errors import DomainError
from domain.user.commands import RegisterUser, UserCommand
from domain.user.decide import decide
from domain.user.events import UserEvent, UserRegistered
from domain.user.state import User, evolve, fold
from domain.values import EmailAddress, ExternalId, PersonName, Role

ZOE_ID = UUID("018f3f5e-0000-7000-8000-000000000001")


class When:
    """A command on a history; judged when the expectation is known."""

    def __init__(self, history: tuple[UserEvent, ...], command: UserCommand) -> None:
        self._user = fold(history)
        self._command = command

    def then(self, *expected: UserEvent) -> User | None:
        """These events follow, in this order; what the user is after them."""
        assert decide(self._user, self._command) == expected
        user = self._user
        for event in expected:
            user = evolve(user, event)
        return user

    def then_nothing(self) -> None:
        self.then()

    def then_refused(self, error: type[DomainError]) -> None:
        with pytest.raises(error) as refusal:
            decide(self._user, self._command)
        assert refusal.type is error


class Given:
    def __init__(self, *history: UserEvent) -> None:
        self._history = history

    def when(self, command: UserCommand) -> When:
        return When(self._history, command)


given = Given


def zoe(**fields: Any) -> UserRegistered:
    """Zoë, as she was registered."""
    defaults: dict[str, Any] = {"name": "Zoë", "email": "zoe@example.com", "role": "member"}
    return UserRegistered(**{**defaults, **fields})


REGISTER_ZOE = RegisterUser(
    user_id=ZOE_ID,
    name=PersonName.parse("Zoë"),
    email=EmailAddress.parse("zoe@example.com"),
    role=Role.parse("member"),
    external_id=ExternalId.parse("hr-7"),
    attributes={"floor": 3},
)
