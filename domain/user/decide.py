"""The rules of a user: from a state and a command to the events that follow."""

from collections.abc import Iterator
from typing import TypeVar, assert_never

from msgspec import UNSET

from domain.attributes import merged, parse_attributes, same_json
from domain.errors import UserAlreadyExists, UserIsDeleted, UserIsErased, UserNotFound
from domain.event import Erased
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
from domain.user.events import (
    Attributes,
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

T = TypeVar("T")


def decide(user: User | None, command: UserCommand) -> tuple[UserEvent, ...]:
    """The events that the command causes; none if it changes nothing.

    Raises `UserNotFound`, `UserAlreadyExists`, `UserIsDeleted` or `UserIsErased`, and
    `InvalidValue` if the merged attributes would break their limits.
    """
    match command:
        case RegisterUser():
            return _register(user, command)
        case ReplaceUser() | ChangeUser():
            return tuple(_edit(_live(user), command))
        case SuspendUser():
            suspends = _live(user).status == "active"
            return (UserSuspended(reason=command.reason),) if suspends else ()
        case ReinstateUser():
            reinstates = _live(user).status == "suspended"
            return (UserReinstated(reason=command.reason),) if reinstates else ()
        case DeleteUser():
            gone = _known(user).status in ("deleted", "erased")
            return () if gone else (UserDeleted(reason=command.reason),)
        case RestoreUser():
            deleted = _not_erased(user).status == "deleted"
            return (UserRestored(reason=command.reason),) if deleted else ()
        case EraseUser():
            erased = _known(user).status == "erased"
            return () if erased else (UserErased(reason=command.reason),)
        case _:
            assert_never(command)


def _known(user: User | None) -> User:
    if user is None:
        raise UserNotFound
    return user


def _not_erased(user: User | None) -> User:
    known = _known(user)
    if known.status == "erased":
        raise UserIsErased
    return known


def _live(user: User | None) -> User:
    present = _not_erased(user)
    if present.status == "deleted":
        raise UserIsDeleted
    return present


def _register(user: User | None, command: RegisterUser) -> tuple[UserEvent, ...]:
    if user is not None:
        raise UserAlreadyExists
    return (
        UserRegistered(
            name=command.name.text,
            email=command.email.text,
            role=command.role.text,
            external_id=None if command.external_id is None else command.external_id.text,
            attributes=command.attributes,
        ),
    )


def _edit(user: User, command: ReplaceUser | ChangeUser) -> Iterator[UserEvent]:
    """One event for each changed field; a field that is UNSET stays."""
    name, email = _readable(user.name), _readable(user.email)
    external_id, attributes = _readable(user.external_id), _readable(user.attributes)
    if command.name is not UNSET and command.name.text != name:
        yield UserRenamed(name=command.name.text, previous=PreviousName(name))
    if command.email is not UNSET and command.email.text != email:
        yield UserEmailChanged(email=command.email.text, previous=PreviousEmail(email))
    if command.external_id is not UNSET:
        wanted = None if command.external_id is None else command.external_id.text
        if wanted != external_id:
            previous = PreviousExternalId(external_id)
            yield UserExternalIdChanged(external_id=wanted, previous=previous)
    if command.role is not UNSET and command.role.text != user.role:
        yield UserRoleChanged(role=command.role.text, previous=PreviousRole(user.role))
    if command.attributes is not UNSET:
        patches = isinstance(command, ChangeUser)
        after = merged(attributes, command.attributes) if patches else command.attributes
        yield from _attribute_changes(attributes, after)


def _attribute_changes(before: Attributes, after: Attributes) -> Iterator[UserAttributesChanged]:
    changed = {
        key: value
        for key, value in after.items()
        if key not in before or not same_json(before[key], value)
    }
    removed = tuple(key for key in before if key not in after)
    if changed or removed:
        parse_attributes(after)
        previous = {key: before[key] for key in (*changed, *removed) if key in before}
        yield UserAttributesChanged(set=changed, removed=removed, previous=previous)


def _readable(value: T | Erased) -> T:
    """Personal data of a live user. Raises `UserIsErased` if its key is destroyed."""
    if isinstance(value, Erased):
        raise UserIsErased
    return value
