"""Rollbook's log for applications of the eventsourcing library: a persistence module.

Set `PERSISTENCE_MODULE=interfaces.composition.persistence`, `ROLLBOOK_DATABASE_URL` and
`ROLLBOOK_MASTER_KEY`.
"""

from typing import Final

from infrastructure.event_store import library_recorder
from infrastructure.keys import MasterKeyRing, MasterKeys

# Makes the MACs of claims, which an application of the library has not.
_NO_INDEX_KEY: Final = b""


class Factory(library_recorder.RollbookFactory):
    """The only factory of this module, so that the library finds it."""

    MASTER_KEY: Final = "ROLLBOOK_MASTER_KEY"

    def keys(self) -> MasterKeyRing:
        """The keys of `ROLLBOOK_MASTER_KEY`. Raises `InvalidMasterKey`."""
        return MasterKeyRing(MasterKeys.parse(self.env.get(self.MASTER_KEY) or ""), _NO_INDEX_KEY)
