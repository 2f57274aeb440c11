"""The rows of an export, read at the download by their references, a piece at a time."""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import suppress
from typing import Final, get_args
from uuid import UUID

from msgspec import Struct

from application.audit.items import AuditItem
from application.audit.search import Audit, EventLookup
from application.errors import Unavailable, UserGone, ViewBehind
from application.exports.requests import Exports, Piece, What
from application.queries.directory import DirectoryQueries, UserList
from application.queries.resources import User
from application.users.service import UserService
from application.users.states import UserAt
from domain.user.state import Status

# The headers are already sent, so a short outage must not end a long download.
_TIMEOUT_SECONDS: Final = 10.0
_PAUSE_SECONDS: Final = 0.25
# Half of the pool: requests need the rest.
_USERS_AT_ONCE: Final = 4
_STATUSES: Final[tuple[Status, ...]] = get_args(Status)

Row = User | AuditItem


class ExportGone(Exception):
    """The export is no longer kept."""


class ExportRows(Struct, frozen=True):
    """Reads users and events as they were at the selection, without persons erased since then.

    An erased user is left out; its audit items stay, with personal values null.
    """

    pieces: Exports
    queries: DirectoryQueries
    commands: UserService
    events: EventLookup
    audit: Audit

    async def batches(
        self, export: UUID, what: What, rows: int, *, opened: bool
    ) -> AsyncGenerator[Sequence[Row]]:
        """All rows in order, a piece at a time; `rows` is the number of selected rows.

        Raises `ExportGone`, and `Unavailable`: for the first piece at once, later after 10 s.
        """
        number = seen = 0
        while not number or seen < rows:
            piece, batch = await self._batch_with_retry(export, number, what, opened)
            yield batch
            seen += len(piece.numbers)
            number += 1

    async def _batch_with_retry(
        self, export: UUID, number: int, what: What, opened: bool
    ) -> tuple[Piece, Sequence[Row]]:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + (_TIMEOUT_SECONDS if number else 0.0)
        while True:
            try:
                return await self._batch(export, number, what, opened)
            except (Unavailable, ViewBehind):
                if loop.time() >= deadline:
                    raise
            await asyncio.sleep(_PAUSE_SECONDS)

    async def _batch(
        self, export: UUID, number: int, what: What, opened: bool
    ) -> tuple[Piece, Sequence[Row]]:
        piece = await self.pieces.piece(export, number)
        if piece is None:
            raise ExportGone
        if not piece.numbers:
            return piece, ()
        if what == "users":
            return piece, await self._users(piece)
        events = await self.events.events_at(piece.numbers)
        if len(events) != len(piece.numbers):
            raise ExportGone
        return piece, await self.audit.items(events, opened=opened)

    async def _users(self, piece: Piece) -> Sequence[User]:
        """Unchanged users come from the view; the others are folded from their events."""
        listed = UserList(ids=tuple(piece.users), statuses=_STATUSES, limit=len(piece.users))
        present = {view.id: view for view in (await self.queries.users(listed)).value.items}
        changed = [
            place
            for place in zip(piece.users, piece.numbers, strict=True)
            if (view := present.get(place[0])) is None or view.version != place[1]
        ]
        past = await self._past(changed)
        users: list[User] = []
        left = {user_id for user_id, _ in changed}
        for user_id in piece.users:
            if user_id not in left:
                users.append(User.of_view(present[user_id]))
            elif user_id in past:
                users.append(User.of_state(past[user_id]))
        return users

    async def _past(self, places: Sequence[tuple[UUID, int]]) -> Mapping[UUID, UserAt]:
        """Each user at its version, from the log, without erased users."""
        found: dict[UUID, UserAt] = {}
        turns = asyncio.Semaphore(_USERS_AT_ONCE)

        async def one(user_id: UUID, version: int) -> None:
            async with turns:
                with suppress(UserGone):
                    found[user_id] = await self.commands.user_at(user_id, version=version)

        await asyncio.gather(*(one(*place) for place in places))
        return found
