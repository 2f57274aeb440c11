"""The port to the commands of a user, and their outcome."""

from datetime import datetime
from typing import Protocol
from uuid import UUID

from msgspec import Struct

from application.context import Context
from application.errors import PreconditionFailed
from application.users.states import ErasedAt, UserAt, UserState, gone
from domain.user.commands import UserCommand


class IfMatch(Struct, frozen=True):
    """The versions to which a command may be applied (If-Match), and may not (If-None-Match).

    None means any version (`*`).
    """

    versions: frozenset[int] | None
    unless: frozenset[int] | None = frozenset()

    def check(self, version: int) -> None:
        """Raises `PreconditionFailed`."""
        admitted = self.versions is None or version in self.versions
        if not admitted or self.unless is None or version in self.unless:
            raise PreconditionFailed(version)


class Outcome(Struct, frozen=True, kw_only=True):
    """The outcome of a command: the user after it, and the position to pass to queries.

    `status` is the HTTP status of the first answer (stored with the idempotency key).
    """

    user: UserState
    position: int
    status: int
    replayed: bool = False

    @property
    def shown(self) -> UserAt:
        """The user to show. Raises `UserGone` if the user is erased."""
        if isinstance(self.user, ErasedAt):
            raise gone(self.user, erased=True)
        return self.user


class UserCommands(Protocol):
    """All commands of a user, and its state at any version."""

    async def execute(
        self,
        user_id: UUID,
        command: UserCommand,
        context: Context,
        *,
        if_match: IfMatch | None = None,
        status: int = 200,
    ) -> Outcome:
        """Decide and record the command, or repeat the first answer of its idempotency key.

        Raises, in this order: `IdempotencyMismatch`; `UserNotFound`, `UserGone`;
        `PreconditionFailed`; `InvalidValue`, `UserAlreadyExists`, `ClaimTaken`, `Contended`; and
        at any point `Overloaded`, `Unavailable`, `OutcomeUnknown`.
        """
        ...

    async def user_at(
        self, user_id: UUID, *, version: int | None = None, at: datetime | None = None
    ) -> UserAt:
        """The user at a version or a moment, or now.

        Raises `UserNotFound` if there was none, and `UserGone` if the user is erased.
        """
        ...
