"""In-memory stored projections for tests."""

from collections.abc import Sequence

from application.projector.unused import StillProjected, TablesInUse


class InMemoryStoredProjections:
    """See `StoredProjections`; another process projects those in `led`, and reads those in `read`."""

    def __init__(self, *names: str) -> None:
        self.stored = set(names)
        self.led = set[str]()
        self.read = set[str]()

    async def names(self) -> Sequence[str]:
        return sorted(self.stored)

    async def drop(self, projection: str) -> bool:
        if projection in self.led:
            raise StillProjected(StillProjected.__doc__)
        if projection in self.read:
            raise TablesInUse
        is_stored = projection in self.stored
        self.stored.discard(projection)
        return is_stored
