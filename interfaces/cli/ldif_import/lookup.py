"""Looks up the users of many rows with few requests."""

import asyncio
from collections.abc import Callable
from typing import Final
from urllib.parse import quote

from msgspec import Struct

from domain.email import comparable_address
from domain.errors import InvalidValue
from domain.values import ExternalId
from interfaces.cli.client.client import Remote
from interfaces.cli.ldif_import.identity import (
    STATUSES,
    RemoteUser,
    RowRefused,
    folded_key,
    is_certain,
    keys_of,
)
from interfaces.cli.ldif_import.rows import Person
from interfaces.http.protocol.fields import MAX_ELEMENTS, list_of_one

_STATUSES: Final = ",".join(STATUSES)
# Servers refuse longer request lines, and addresses with many characters beyond ASCII.
_MAX_QUERY: Final = 4000
_MAX_BEYOND_ASCII: Final = 250


class _Page(Struct, frozen=True):
    items: list[RemoteUser]
    next_cursor: str | None = None


class _Asked(Struct):
    """What one row asks for; `found` is None until it was looked up."""

    values: list[str]
    is_fresh: bool
    found: list[RemoteUser] | None = None


class UserLookup:
    """The users that rows may be about, as they were before this run or after its last command."""

    def __init__(self, remote: Remote) -> None:
        self._by_key = _Batches(remote, "external_id", lambda user: user.external_id)
        self._by_address = _Batches(remote, "email", lambda user: comparable_address(user.email))
        self._asked_before = set[str]()

    async def users_of(self, person: Person, *, again: bool) -> list[RemoteUser]:
        """All users with a key or the address of the row, deleted ones included.

        The commands of this run count where an earlier row has the same key or address, or this one
        asks again: to wait for the view after each command would take most of the time. Raises
        `RowRefused`.
        """
        address = comparable_address(person.email)
        names = {address, *(folded_key(key) for key in keys_of(person))}
        is_fresh = again or not names.isdisjoint(self._asked_before)
        self._asked_before |= names
        spellings = _spellings(keys_of(person))
        by_key = await self._by_key.find(spellings, is_fresh=is_fresh) if spellings else []
        if any(is_certain(person, user) for user in by_key):
            return by_key
        by_address = await self._by_address.find([address], is_fresh=is_fresh)
        return list({user.id: user for user in (*by_key, *by_address)}.values())


class _Batches:
    """What rows ask for while a request is under way goes into the next one."""

    def __init__(
        self, remote: Remote, field: str, value_of: Callable[[RemoteUser], str | None]
    ) -> None:
        self._remote = remote
        self._field = field
        self._value_of = value_of
        self._waiting = list[_Asked]()
        self._turn = asyncio.Lock()

    async def find(self, values: list[str], *, is_fresh: bool) -> list[RemoteUser]:
        asked = _Asked(values, is_fresh)
        self._waiting.append(asked)
        try:
            async with self._turn:
                if asked.found is None:
                    await self._answer(asked)
        finally:
            self._waiting.remove(asked)
        assert asked.found is not None, "a turn answers at least its own question"
        return asked.found

    async def _answer(self, first: _Asked) -> None:
        open_questions = [asked for asked in self._waiting if asked.found is None]
        batch = [first]
        for asked in open_questions:
            if asked is not first and _fits([*batch, asked]):
                batch.append(asked)
        users = await self._users(batch)
        if isinstance(users, str) and len(batch) > 1:
            # One of them is refused: each then gets its own answer.
            batch = [first]
            users = await self._users(batch)
        if isinstance(users, str):
            raise RowRefused(users)
        for asked in batch:
            asked.found = [user for user in users if self._value_of(user) in asked.values]

    async def _users(self, batch: list[_Asked]) -> list[RemoteUser] | str:
        """All pages of the list, or why the server refuses to list them."""
        values = dict.fromkeys(value for asked in batch for value in asked.values)
        parameters = {
            self._field: ",".join(list_of_one(value) for value in values),
            "status": _STATUSES,
            "limit": str(MAX_ELEMENTS),
        }
        is_fresh = any(asked.is_fresh for asked in batch)
        users = list[RemoteUser]()
        while True:
            reply = await self._remote.get("/v1/users", parameters, is_fresh=is_fresh)
            if reply.status != 200:
                return reply.reason
            page = reply.read(_Page)
            users += page.items
            if page.next_cursor is None:
                return users
            parameters["cursor"] = page.next_cursor


def _fits(batch: list[_Asked]) -> bool:
    values = [value for asked in batch for value in asked.values]
    text = "".join(values)
    return (
        _is_short(values) and len(text) - len(text.encode("ascii", "ignore")) <= _MAX_BEYOND_ASCII
    )


def _is_short(values: list[str]) -> bool:
    return len(values) <= MAX_ELEMENTS and len(quote("".join(values))) <= _MAX_QUERY


def _spellings(keys: list[str]) -> list[str]:
    """The keys as filters: as written, and in lower and upper case, while there is room."""
    spellings = list[str]()
    others = [spelling for key in keys for spelling in (key.lower(), key.upper())]
    for spelling in dict.fromkeys([*keys, *others]):
        if _is_external_id(spelling) and _is_short([*spellings, spelling]):
            spellings.append(spelling)
    return spellings


def _is_external_id(text: str) -> bool:
    try:
        ExternalId.parse(text)
    except InvalidValue:
        return False
    return True
