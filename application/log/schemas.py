"""The types and schema versions of stored events, and whether this release can read them."""

from msgspec import Struct

from domain.catalogue import EVENT_TYPES


class StoredSchema(Struct, frozen=True):
    """The number of stored events of one type and schema version."""

    topic: str
    version: int
    events: int

    @property
    def is_readable(self) -> bool:
        """Whether this release knows the type and can upcast the version to the current one."""
        event_type = EVENT_TYPES.get(self.topic)
        if event_type is None or not 1 <= self.version <= event_type.schema_version:
            return False
        return all(
            step in event_type.upcasters for step in range(self.version, event_type.schema_version)
        )
