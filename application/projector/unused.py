"""Projections that are stored, and that this release does not have: they can be dropped."""

from collections.abc import Collection, Sequence
from typing import Protocol

from structlog import get_logger

from application.errors import Unavailable

log = get_logger(__name__)


class StillProjected(Exception):
    """A running process projects it: another release needs it."""


class TablesInUse(Unavailable):
    """Other sessions use the tables of the projection; repeat the request."""


class StoredProjections(Protocol):
    """What is stored of projections. Each method raises `Unavailable`."""

    async def names(self) -> Sequence[str]:
        """The projections of which anything is stored."""
        ...

    async def drop(self, projection: str) -> bool:
        """Drop all that is stored of a projection; an interrupted drop can be repeated.

        False if nothing was. Raises `StillProjected` and `TablesInUse`.
        """
        ...


class UnusedProjections:
    """No projector moves their positions, so each erasure waits for them until they are dropped."""

    def __init__(self, known: Collection[str], stored: StoredProjections) -> None:
        self.known = known
        self._stored = stored

    async def names(self) -> Sequence[str]:
        return [name for name in await self._stored.names() if name not in self.known]

    async def drop(self, projection: str, actor: str) -> bool:
        """See `StoredProjections.drop`; `projection` is none of `known`."""
        assert projection not in self.known, "what this release has would be built again"
        is_dropped = await self._stored.drop(projection)
        if is_dropped:
            log.info("projection_dropped", projection=projection, actor=actor)
        return is_dropped
