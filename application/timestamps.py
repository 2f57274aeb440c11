"""The text form of a moment in all outputs."""

from datetime import UTC, datetime
from typing import Annotated

from msgspec import Meta

Timestamp = Annotated[str, Meta(extra_json_schema={"format": "date-time"})]


def timestamp(moment: datetime) -> Timestamp:
    """RFC 3339 in UTC, always with microseconds: `2026-03-01T09:30:00.000000Z`."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
