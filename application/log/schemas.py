"""Which types and schema versions of events a store holds, and whether this release reads them."""

from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct

from domain.catalogue import EVENT_TYPES


class StoredSchema(Struct, frozen=True):
    """So many events were stored as this version of this type."""

    topic: str
    version: int
    events: int

    @property
    def is_readable(self) -> bool:
        """Whether this release knows the type, and the version or the way from it to today's."""
        event_type = EVENT_TYPES.get(self.topic)
        if event_type is None or not 1 <= self.version <= event_type.schema_version:
            return False
        return all(
            step in event_type.upcasters for step in range(self.version, event_type.schema_version)
        )


class StoredSchemas(Protocol):
    async def stored(self) -> Sequence[StoredSchema]:
        """All that the store holds, by type and version. Raises `Unavailable`."""
        ...
