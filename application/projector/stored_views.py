"""The view of one stream in each generation, for administrators."""

from collections.abc import Sequence
from typing import Protocol
from uuid import UUID

from msgspec import Struct


class StoredView(Struct, frozen=True, kw_only=True):
    """The view in one generation after `version` events; None if the stream has none there."""

    generation: int
    serving: bool
    version: int
    view: Struct | None


class StoredViews(Protocol):
    async def views(self, projection: str, stream: UUID) -> Sequence[StoredView]:
        """One for each generation that projectors follow, the newest first.

        `projection` is one of this release. Raises `Unavailable`.
        """
        ...
