"""Users, pages and statistics as the bytes that HTTP sends, rendered from the views."""

from collections.abc import Callable
from datetime import datetime
from typing import Protocol, Self
from uuid import UUID

import msgspec
from msgspec import Struct

from application.queries.directory import Answer, DirectoryQueries, UserList, UserPage
from application.queries.resources import Statistics, User
from application.timestamps import Timestamp, timestamp
from domain.user.state import Status
from projections.users import UserView

RenderPage = Callable[[Answer[UserPage]], bytes]
"""Renders a page: the same bytes for all callers, in every process."""

_encode = msgspec.json.Encoder().encode


class UserDocument(Struct, frozen=True):
    """The JSON of a user, and the values for headers and problems.

    For a deleted or erased user `body` is empty: an answer has only its version and time.
    """

    version: int
    status: Status
    updated_at: Timestamp
    body: bytes

    @classmethod
    def of(cls, view: UserView) -> Self:
        gone = view.status in ("deleted", "erased")
        return cls(
            version=view.version,
            status=view.status,
            updated_at=timestamp(view.updated_at),
            body=b"" if gone else _encode(User.of_view(view)),
        )


class Documents(Protocol):
    """Queries with encoded answers; they wait and raise as `DirectoryQueries` does."""

    async def user(self, user_id: UUID, *, at_least: int = 0) -> Answer[UserDocument | None]: ...

    async def users(
        self, query: UserList, render: RenderPage, *, at_least: int = 0
    ) -> Answer[bytes]: ...

    async def stats(self, now: datetime, *, at_least: int = 0) -> Answer[bytes]: ...


class RenderedDocuments:
    """See `Documents`; renders each document at the query."""

    def __init__(self, queries: DirectoryQueries) -> None:
        self._queries = queries

    async def user(self, user_id: UUID, *, at_least: int = 0) -> Answer[UserDocument | None]:
        answer = await self._queries.user(user_id, at_least=at_least)
        view = answer.value
        document = UserDocument.of(view) if view is not None else None
        return Answer(document, answer.position, answer.generation)

    async def users(
        self, query: UserList, render: RenderPage, *, at_least: int = 0
    ) -> Answer[bytes]:
        answer = await self._queries.users(query, at_least=at_least)
        return Answer(render(answer), answer.position, answer.generation)

    async def stats(self, now: datetime, *, at_least: int = 0) -> Answer[bytes]:
        answer = await self._queries.stats(now, at_least=at_least)
        body = _encode(Statistics.of_stats(answer.value, answer.position))
        return Answer(body, answer.position, answer.generation)
