"""One row of an import: register the person, or compare with the existing user."""

import hashlib
import hmac
from collections.abc import Callable
from typing import Any, Final, TypeVar

import msgspec
from msgspec import Struct

from domain.attributes import parse_attributes
from domain.email import comparable_address
from domain.errors import InvalidValue
from domain.values import EmailAddress, ExternalId, PersonName
from interfaces.cli.client.client import Remote, Reply
from interfaces.cli.ldif_import.identity import (
    RemoteUser,
    RowRefused,
    folded_key,
    import_key,
    keys_of,
    same_name,
    user_of,
)
from interfaces.cli.ldif_import.lookup import UserLookup
from interfaces.cli.ldif_import.order import Outcome
from interfaces.cli.ldif_import.people import MANAGED
from interfaces.cli.ldif_import.plan import Plan
from interfaces.cli.ldif_import.rows import Person

# Another client may change a user between read and update, or may have taken an address so
# recently that the list does not show it yet.
_MAX_ATTEMPTS: Final = 5
_FIRST_WAIT: Final = 0.1

_USERS: Final = "/v1/users"
_REGISTERED: Final = "user-exists"
_TAKEN: Final = frozenset({"email-taken", "external-id-taken", _REGISTERED})

_ERASED: Final = "the person was erased"
_CHANGED: Final = "the user that an import registered has another external id or address now"
_NOT_FOUND: Final = "the address or external id is held by a user that cannot be found"

T = TypeVar("T")


class _Settled(Struct, frozen=True):
    """An earlier row of the file that is in the directory."""

    line: int
    name: str
    address: str


class PersonImport:
    """One run against one Rollbook; with `update`, existing users become what the row says, and with
    `dry_run` nothing changes.

    `secret` makes the idempotency keys: a row has the same key in every run of one caller, and a
    stored key does not reveal the row.
    """

    def __init__(
        self, remote: Remote, secret: str, *, update: bool = False, dry_run: bool = False
    ) -> None:
        self._remote = remote
        self._lookup = UserLookup(remote)
        self._secret = secret.encode()
        self._update = update
        self._plan = Plan() if dry_run else None
        self._first_line = dict[str, int]()
        self._by_key = dict[str, _Settled]()

    async def settle(self, person: Person) -> Outcome:
        """Raises `Stopped`."""
        try:
            _check(person)
            self._refuse_another_of_the_file(person)
            outcome = await self._register_or_compare(person)
        except RowRefused as refusal:
            return Outcome(person.line, "refused", str(refusal))
        if person.external_id is not None:
            settled = _Settled(person.line, person.name, comparable_address(person.email))
            self._by_key.setdefault(folded_key(person.external_id), settled)
        return outcome

    def _refuse_another_of_the_file(self, person: Person) -> None:
        """Two entries of one directory are two people, also where they have the same name."""
        for key in keys_of(person):
            first = self._by_key.get(folded_key(key))
            if (
                first is not None
                and first.address != comparable_address(person.email)
                and (key == person.external_id or same_name(first.name, person.name))
            ):
                raise RowRefused(f"line {first.line} has the same external id and another address")

    async def _register_or_compare(self, person: Person) -> Outcome:
        refusal = ""
        for attempt in range(_MAX_ATTEMPTS):
            if attempt:
                await self._remote.sleep(_FIRST_WAIT * 2**attempt)
            users = await self._lookup.users_of(person, again=attempt > 0)
            if self._plan is not None:
                users = self._plan.apply(person, users)
            user = user_of(person, users)
            if user is not None:
                return await self._compare(person, user)
            if self._plan is not None:
                self._first_line[self._plan.register(person)] = person.line
                return Outcome(person.line, "created")
            reply = await self._register(person)
            if reply.status == 201:
                return await self._registered(person, reply)
            refusal = reply.slug
            if refusal not in _TAKEN:
                raise RowRefused(_ERASED if refusal == "user-erased" else reply.reason)
        raise RowRefused(_CHANGED if refusal == _REGISTERED else _NOT_FOUND)

    async def _register(self, person: Person) -> Reply:
        body = {
            "name": person.name,
            "email": person.email,
            "external_id": person.external_id,
            "attributes": person.attributes,
            "import_key": import_key(person),
        }
        return await self._command("POST", _USERS, body)

    async def _registered(self, person: Person, reply: Reply) -> Outcome:
        user = reply.read(RemoteUser)
        if reply.is_replayed:
            # An earlier run registered the person; the replay does not show later changes.
            return await self._compare(person, await self._current(person, user.id))
        self._first_line[user.id] = person.line
        return Outcome(person.line, "created")

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
            if self._plan is not None:
                self._plan.change(user, patch)
                return Outcome(person.line, "updated", fields)
            path, etag = f"{_USERS}/{user.id}", f'"{user.version}"'
            reply = await self._command("PATCH", path, patch, if_match=etag)
            if reply.status == 200:
                return Outcome(person.line, "updated", fields)
            if reply.status != 412:
                raise RowRefused(reply.reason)
            user = await self._current(person, user.id)
        raise RowRefused("others kept changing the user")

    async def _current(self, person: Person, user_id: str) -> RemoteUser:
        """The user as it is now, if the row still is about it."""
        reply = await self._remote.get(f"{_USERS}/{user_id}")
        if reply.status != 200:
            raise RowRefused(reply.reason)
        user = user_of(person, [reply.read(RemoteUser)])
        if user is None:
            raise RowRefused("the user has another address and another external id now")
        return user

    async def _command(self, method: str, path: str, body: object, if_match: str = "") -> Reply:
        content = msgspec.json.encode(body, order="deterministic")
        request = f"{method} {path} {if_match}\n".encode() + content
        key = hmac.new(self._secret, request, hashlib.sha256).hexdigest()
        headers = {"Content-Type": "application/json", "Idempotency-Key": f"import-{key}"}
        if if_match:
            headers["If-Match"] = if_match
        return await self._remote.command(method, path, content, headers)


def _check(person: Person) -> None:
    """Refuse what the server would refuse: it could not be looked for either."""
    _checked("name", PersonName.parse, person.name)
    _checked("email", EmailAddress.parse, person.email)
    if person.external_id is not None:
        _checked("external_id", ExternalId.parse, person.external_id)
    _checked("attributes", parse_attributes, person.attributes)


def _checked(field: str, parse: Callable[[T], object], value: T) -> None:
    try:
        parse(value)
    except InvalidValue as error:
        raise RowRefused(f"{field}: {str(error).rstrip('.')}") from None


def difference(person: Person, user: RemoteUser) -> dict[str, Any]:
    """The merge patch (RFC 7396) that makes the user what the row says.

    It leaves alone what a row cannot say: the role, attributes that no import sets, and the
    external id if the row has none, or has it in other letters.
    """
    patch: dict[str, Any] = {}
    if person.name != user.name:
        patch["name"] = person.name
    if person.email != user.email:
        patch["email"] = person.email
    key = person.external_id
    if key is not None and folded_key(key) != folded_key(user.external_id or ""):
        patch["external_id"] = key
    wanted, present = person.attributes, user.attributes
    changed = {key: wanted.get(key) for key in MANAGED if wanted.get(key) != present.get(key)}
    return {**patch, "attributes": changed} if changed else patch


def _changed(patch: dict[str, Any]) -> list[str]:
    attributes = [f"attributes.{key}" for key in patch.get("attributes", ())]
    return [field for field in patch if field != "attributes"] + attributes
