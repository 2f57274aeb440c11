"""What can be asked of a user, and what a command comes to."""

from datetime import datetime
from typing import Protocol
from uuid import UUID

from msgspec import Struct

from application.context import Context
from application.errors import PreconditionFailed
from application.users.states import ErasedAt, UserAt, UserState, gone
from domain.user.commands import UserCommand


class IfMatch(Struct, frozen=True):
    """The versions a command may be applied to, and (If-None-Match) those that it may not.

    None stands for any (`*`).
    """

    versions: frozenset[int] | None
    unless: frozenset[int] | None = frozenset()

    def check(self, version: int) -> None:
        """Raises `PreconditionFailed`."""
        admitted = self.versions is None or version in self.versions
        if not admitted or self.unless is None or version in self.unless:
            raise PreconditionFailed(version)


class Outcome(Struct, frozen=True, kw_only=True):
    """What a command came to: the user after it, and the position to pass on to queries.

    `status` is the HTTP status that the first answer had (kept with the idempotency key).
    """

    user: UserState
    position: int
    status: int
    replayed: bool = False

    @property
    def shown(self) -> UserAt:
        """The user, to whom may see one. Raises `UserGone` once the user is erased."""
        if isinstance(self.user, ErasedAt):
            raise gone(self.user, erased=True)
        return self.user


class UserCommands(Protocol):
    """Every command of a user, and its state at any version."""

    async def execute(
        self,
        user_id: UUID,
        command: UserCommand,
        context: Context,
        *,
        if_match: IfMatch | None = None,
        status: int = 200,
    ) -> Outcome:
        """Decide and record the command, or answer as its idempotency key was answered before.

        Raises, in this order: `IdempotencyMismatch`; `UserNotFound`, `UserGone`;
        `PreconditionFailed`; `InvalidValue`, `UserAlreadyExists`, `ClaimTaken`, `Contended`; and
        at any point `Overloaded`, `Unavailable`, `OutcomeUnknown`.
        """
        ...

    async def user_at(
        self, user_id: UUID, *, version: int | None = None, at: datetime | None = None
    ) -> UserAt:
        """The user as it was at a version or a moment, or as it is now.

        Raises `UserNotFound` where there was none, and `UserGone` once the user is erased.
        """
        ...
