"""One row of an import: register the person, or compare with the existing user."""

import hashlib
import hmac
from typing import Any, Final

import msgspec
from msgspec import Struct

from domain.email import comparable_address
from interfaces.cli.client.client import Remote, Reply
from interfaces.cli.ldif_import.order import Outcome
from interfaces.cli.ldif_import.people import MANAGED, Person
from interfaces.http.protocol.fields import list_of_one

# Another client may change a user between read and update, or may have taken an address so
# recently that the list does not show it yet.
_MAX_ATTEMPTS: Final = 5
_FIRST_WAIT: Final = 0.1

_USERS: Final = "/v1/users"
_TAKEN: Final = frozenset({"email-taken", "external-id-taken"})


class RemoteUser(Struct, frozen=True, kw_only=True):
    """A live user as the server shows it."""

    id: str
    name: str
    email: str
    external_id: str | None
    attributes: dict[str, Any]
    version: int


class _Page(Struct, frozen=True):
    items: list[RemoteUser]


class _RowRefused(Exception):
    """The row cannot be imported; the message says why."""


class PersonImport:
    """One run against one Rollbook; with `update`, existing users become what the row says.

    `secret` makes the idempotency keys: a row has the same key in every run of one caller, and a
    stored key does not reveal the row.
    """

    def __init__(self, remote: Remote, secret: str, *, update: bool = False) -> None:
        self._remote = remote
        self._secret = secret.encode()
        self._update = update
        self._first_line = dict[str, int]()

    async def settle(self, person: Person) -> Outcome:
        """Raises `Stopped`."""
        try:
            return await self._register(person)
        except _RowRefused as refusal:
            return Outcome(person.line, "refused", str(refusal))

    async def _register(self, person: Person) -> Outcome:
        body = {
            "name": person.name,
            "email": person.email,
            "external_id": person.external_id,
            "attributes": person.attributes,
        }
        reply = await self._command("POST", _USERS, body)
        if reply.status == 201:
            user = reply.read(RemoteUser)
            if not reply.is_replayed:
                self._first_line[user.id] = person.line
                return Outcome(person.line, "created")
            # An earlier run registered the person; the replay does not show later changes.
            return await self._compare(person, await self._read(user.id))
        if reply.slug in _TAKEN:
            return await self._compare(person, await self._holder(person))
        raise _RowRefused(reply.reason)

    async def _holder(self, person: Person) -> RemoteUser:
        """The user who has the row's external id, else its address."""
        for attempt in range(_MAX_ATTEMPTS):
            if attempt:
                await self._remote.sleep(_FIRST_WAIT * 2**attempt)
            by_email = await self._find("email", person.email)
            by_id = None
            if person.external_id is not None:
                by_id = await self._find("external_id", person.external_id)
            if by_id and by_email and by_id.id != by_email.id:
                raise _RowRefused("the address is held by another user")
            if by_id is not None:
                return by_id
            if by_email is not None:
                if None not in (by_email.external_id, person.external_id):
                    raise _RowRefused("the address is held by a user with another external id")
                return by_email
        raise _RowRefused("the address or external id is held by a user who cannot be found")

    async def _compare(self, person: Person, user: RemoteUser) -> Outcome:
        first = self._first_line.setdefault(user.id, person.line)
        for _ in range(_MAX_ATTEMPTS):
            patch = difference(person, user)
            fields = ", ".join(_changed(patch))
            if not patch:
                return Outcome(person.line, "unchanged")
            if first != person.line:
                reason = f"line {first} is about the same user and came first"
                return Outcome(person.line, "differs", reason)
            if not self._update:
                return Outcome(person.line, "differs", fields)
            path, etag = f"{_USERS}/{user.id}", f'"{user.version}"'
            reply = await self._command("PATCH", path, patch, if_match=etag)
            if reply.status == 200:
                return Outcome(person.line, "updated", fields)
            if reply.status != 412:
                raise _RowRefused(reply.reason)
            user = await self._read(user.id)
        raise _RowRefused("others kept changing the user")

    async def _find(self, field: str, value: str) -> RemoteUser | None:
        reply = await self._remote.get(_USERS, {field: list_of_one(value)})
        users = reply.read(_Page).items if reply.status == 200 else []
        return next((user for user in users if _has(user, field, value)), None)

    async def _read(self, user_id: str) -> RemoteUser:
        reply = await self._remote.get(f"{_USERS}/{user_id}")
        if reply.status != 200:
            raise _RowRefused(reply.reason)
        return reply.read(RemoteUser)

    async def _command(self, method: str, path: str, body: object, if_match: str = "") -> Reply:
        content = msgspec.json.encode(body, order="deterministic")
        request = f"{method} {path} {if_match}\n".encode() + content
        key = hmac.new(self._secret, request, hashlib.sha256).hexdigest()
        headers = {"Content-Type": "application/json", "Idempotency-Key": f"import-{key}"}
        if if_match:
            headers["If-Match"] = if_match
        return await self._remote.command(method, path, content, headers)


def difference(person: Person, user: RemoteUser) -> dict[str, Any]:
    """The merge patch (RFC 7396) that makes the user what the row says.

    It leaves alone what a row cannot say: the role, attributes that no import sets, and the
    external id if the row has none.
    """
    patch: dict[str, Any] = {}
    if person.name != user.name:
        patch["name"] = person.name
    if person.email != user.email:
        patch["email"] = person.email
    if person.external_id not in (None, user.external_id):
        patch["external_id"] = person.external_id
    wanted, present = person.attributes, user.attributes
    changed = {key: wanted.get(key) for key in MANAGED if wanted.get(key) != present.get(key)}
    return {**patch, "attributes": changed} if changed else patch


def _changed(patch: dict[str, Any]) -> list[str]:
    attributes = [f"attributes.{key}" for key in patch.get("attributes", ())]
    return [field for field in patch if field != "attributes"] + attributes


def _has(user: RemoteUser, field: str, value: str) -> bool:
    """Whether the user has exactly this: a comma in a value makes the filter a list."""
    if field == "email":
        return comparable_address(user.email) == comparable_address(value)
    return user.external_id == value
