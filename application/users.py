"""The commands of a user, from the request to the recorded events."""

from datetime import datetime
from typing import Protocol
from uuid import UUID

from msgspec import Struct

from application.context import Context
from domain.user.commands import UserCommand
from domain.user.state import User


class IfMatch(Struct, frozen=True):
    """The versions a command may be applied to; None stands for any (`*`)."""

    versions: frozenset[int] | None


class UserAt(Struct, frozen=True, kw_only=True):
    """A user as of one version of the stream."""

    user_id: UUID
    user: User
    version: int
    created_at: datetime
    updated_at: datetime


class Outcome(Struct, frozen=True, kw_only=True):
    """What a command came to: the user after it, and the position to pass on to queries.

    `status` is the HTTP status that the first answer had (kept with the idempotency key).
    """

    user: UserAt
    position: int
    status: int
    replayed: bool = False


class UserCommands(Protocol):
    async def execute(
        self,
        user_id: UUID,
        command: UserCommand,
        context: Context,
        *,
        if_match: IfMatch | None = None,
        status: int = 200,
    ) -> Outcome: ...

    async def user_at(
        self, user_id: UUID, *, version: int | None = None, at: datetime | None = None
    ) -> UserAt: ...
