"""What a caller may ask of a user's version before a command is applied."""

from msgspec import Struct

from application.errors import PreconditionFailed


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
