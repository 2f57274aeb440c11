"""Which user a row of an import is about: two people never become one, and nobody returns."""

import unicodedata
from collections.abc import Iterable
from typing import Any, Final, Literal

from msgspec import Struct

from domain.email import comparable_address
from interfaces.cli.ldif_import.rows import Person

Status = Literal["active", "suspended", "deleted"]
STATUSES: Final[tuple[Status, ...]] = ("active", "suspended", "deleted")


class RemoteUser(Struct, frozen=True, kw_only=True):
    """A user as the server shows it."""

    id: str
    name: str
    email: str
    external_id: str | None
    status: Status
    attributes: dict[str, Any]
    version: int


class RowRefused(Exception):
    """The row cannot be imported; the message says why."""


def user_of(person: Person, users: Iterable[RemoteUser]) -> RemoteUser | None:
    """The user that the row is about, of those with one of its keys or with its address.

    None if it is about a new one. Raises `RowRefused` where that is not certain.
    """
    users = list(users)
    present = [user for user in users if user.status != "deleted"]
    deleted = [user for user in users if user.status == "deleted"]
    holder = next((user for user in present if _has_address(user, person)), None)
    owners = _owners(person, present)
    if holder is not None and owners:
        if holder not in owners:
            raise RowRefused("the address is held by another user")
        return holder
    if owners:
        return _owner(person, owners)
    if any(_has_key(user, person) for user in deleted):
        raise RowRefused("a user with this external id was deleted")
    if holder is not None:
        if None not in (holder.external_id, person.external_id):
            raise RowRefused("the address is held by a user with another external id")
        return holder
    if any(_has_address(user, person) for user in deleted):
        raise RowRefused("a user with this address was deleted")
    return None


def is_certain(person: Person, user: RemoteUser) -> bool:
    """Whether the row is about this user, no matter which others there are."""
    has_key = user.external_id == person.external_id
    return has_key and _has_address(user, person) and user.status != "deleted"


def folded_key(key: str) -> str:
    """Directories compare ids without regard to case."""
    return unicodedata.normalize("NFKC", key).casefold()


def keys_of(person: Person) -> list[str]:
    """The ids of the person, the chosen one first."""
    return [] if person.external_id is None else [person.external_id, *person.other_keys]


def import_key(person: Person) -> str:
    """The same for the same person in every import: nobody is registered with it twice.

    A directory that has forgotten all else, because the person is erased, still knows it.
    """
    if person.external_id is None:
        return f"email:{comparable_address(person.email)}"
    return f"external_id:{folded_key(person.external_id)}"


def same_name(one: str, other: str) -> bool:
    return _folded_name(one) == _folded_name(other)


def _owners(person: Person, users: list[RemoteUser]) -> list[RemoteUser]:
    """The users with the external id of the row, else with another id of it."""
    exact = [user for user in users if user.external_id == person.external_id]
    return (
        (exact if person.external_id is not None else [])
        or [user for user in users if _is_key(user, person.external_id)]
        or [user for user in users if _has_key(user, person)]
    )


def _owner(person: Person, owners: list[RemoteUser]) -> RemoteUser:
    """Nobody has the address, so the user has another one: the key alone must be enough.

    An employee number or a login name may be that of somebody else in another branch or another
    year, so then the name must be the same.
    """
    owner, *others = owners
    if others:
        raise RowRefused("several users have this external id, in upper and lower case")
    is_proof = person.is_key_unique and _is_key(owner, person.external_id)
    if is_proof or same_name(owner.name, person.name):
        return owner
    raise RowRefused("a user with this external id has another name and another address")


def _has_key(user: RemoteUser, person: Person) -> bool:
    """Whether the user has the external id of the row, or another id of it and its name or address.

    Another id alone says nothing: one person's login name may be another one's employee number.
    """
    if _is_key(user, person.external_id):
        return True
    is_alike = same_name(user.name, person.name) or _has_address(user, person)
    return is_alike and any(_is_key(user, key) for key in person.other_keys)


def _has_address(user: RemoteUser, person: Person) -> bool:
    return comparable_address(user.email) == comparable_address(person.email)


def _is_key(user: RemoteUser, key: str | None) -> bool:
    if user.external_id is None or key is None:
        return False
    return folded_key(user.external_id) == folded_key(key)


def _folded_name(name: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", name).casefold().split())
