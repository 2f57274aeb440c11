"""The rules of a user: from a state and a command to the events that follow."""

from domain.user.commands import UserCommand
from domain.user.events import UserEvent
from domain.user.state import User


def decide(user: User | None, command: UserCommand) -> tuple[UserEvent, ...]:
    """The events the command causes, none where it changes nothing.

    Raises `UserNotFound`, `UserAlreadyExists`, `UserIsDeleted` or `UserIsErased`.
    """
    raise NotImplementedError
