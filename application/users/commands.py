"""What a command of a user may require, and its outcome."""

from msgspec import Struct

from application.errors import PreconditionFailed
from application.users.states import ErasedAt, UserAt, UserState, gone


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
