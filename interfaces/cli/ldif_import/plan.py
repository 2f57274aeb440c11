"""What a dry run would have done: later rows of the file may be about the same users."""

from typing import Any

from msgspec.structs import replace

from domain.attributes import merged
from domain.email import comparable_address
from interfaces.cli.ldif_import.identity import RemoteUser, folded_key, keys_of
from interfaces.cli.ldif_import.rows import Person


class Plan:
    """Users as they would be, by id, address and external id."""

    def __init__(self) -> None:
        self._users = dict[str, RemoteUser]()
        self._names = dict[str, str]()

    def register(self, person: Person) -> str:
        """The id that stands for the user."""
        user = RemoteUser(
            id=f"line {person.line}",
            name=person.name,
            email=person.email,
            external_id=person.external_id,
            status="active",
            attributes=dict(person.attributes),
            version=1,
        )
        self._put(user)
        return user.id

    def change(self, user: RemoteUser, patch: dict[str, Any]) -> None:
        attributes = merged(user.attributes, patch.get("attributes", {}))
        self._put(replace(user, **{**patch, "attributes": attributes}))

    def apply(self, person: Person, users: list[RemoteUser]) -> list[RemoteUser]:
        """The users that the row may be about as they would be, and those that would be there."""
        names = [comparable_address(person.email), *(folded_key(key) for key in keys_of(person))]
        ids = [user.id for user in users] + [
            self._names[name] for name in names if name in self._names
        ]
        found = {user.id: user for user in users}
        return [self._users.get(user_id) or found[user_id] for user_id in dict.fromkeys(ids)]

    def _put(self, user: RemoteUser) -> None:
        self._users[user.id] = user
        self._names[comparable_address(user.email)] = user.id
        if user.external_id is not None:
            self._names[folded_key(user.external_id)] = user.id
