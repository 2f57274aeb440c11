"""Users, lists and the statistics as the bytes that HTTP sends, rendered from the views."""

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
"""Makes the bytes of a page: the same, whoever asks for it, in every process."""

_encode = msgspec.json.Encoder().encode


class UserDocument(Struct, frozen=True):
    """A user's JSON, and what an answer says besides; `body` is empty for a user who is gone.

    Of a deleted or an erased user an answer tells no more than since when and with which version.
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
    """The queries whose answers are sent as they are kept; they wait and raise as
    `DirectoryQueries` does."""

    async def user(self, user_id: UUID, *, at_least: int = 0) -> Answer[UserDocument | None]: ...

    async def users(
        self, query: UserList, render: RenderPage, *, at_least: int = 0
    ) -> Answer[bytes]: ...

    async def stats(self, now: datetime, *, at_least: int = 0) -> Answer[bytes]: ...


class RenderedDocuments:
    """See `Documents`: each rendered when it is asked for."""

    def __init__(self, queries: DirectoryQueries) -> None:
        self._queries = queries

    async def user(self, user_id: UUID, *, at_least: int = 0) -> Answer[UserDocument | None]:
        """See `Documents`."""
        answer = await self._queries.user(user_id, at_least=at_least)
        view = answer.value
        document = UserDocument.of(view) if view is not None else None
        return Answer(document, answer.position, answer.generation)

    async def users(
        self, query: UserList, render: RenderPage, *, at_least: int = 0
    ) -> Answer[bytes]:
        """See `Documents`."""
        answer = await self._queries.users(query, at_least=at_least)
        return Answer(render(answer), answer.position, answer.generation)

    async def stats(self, now: datetime, *, at_least: int = 0) -> Answer[bytes]:
        """See `Documents`."""
        answer = await self._queries.stats(now, at_least=at_least)
        body = _encode(Statistics.of_stats(answer.value, answer.position))
        return Answer(body, answer.position, answer.generation)
