"""The tables beside the views that the migrations create, for use in queries."""

from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Integer,
    MetaData,
    Table,
    Text,
    Uuid,
    and_,
    literal,
)
from sqlalchemy.dialects.postgresql import TIMESTAMP

from application.context import TENANT
from application.projector.view_store import PARTITION, Slot

_METADATA: Final = MetaData()

# The serving generation of each projection, and whether the projection is paused.
PROJECTIONS: Final = Table(
    "projections",
    _METADATA,
    Column("tenant", Text()),
    Column("name", Text()),
    Column("generation", Integer()),
    Column("paused_at", TIMESTAMP(timezone=True)),
)

# The position of each slot, and how often its rows changed without a new position.
CHECKPOINTS: Final = Table(
    "checkpoints",
    _METADATA,
    Column("tenant", Text()),
    Column("projection", Text()),
    Column("generation", Integer()),
    Column("partition", Integer()),
    Column("position", BigInteger()),
    Column("repairs", BigInteger()),
    Column("updated_at", TIMESTAMP(timezone=True)),
)

# Events that could not be applied, with the later events of their streams.
PARKED: Final = Table(
    "parked",
    _METADATA,
    Column("tenant", Text()),
    Column("projection", Text()),
    Column("generation", Integer()),
    Column("stream", Uuid()),
    Column("version", BigInteger()),
    Column("position", BigInteger()),
    Column("event_id", Uuid()),
    Column("error", Text()),
)

# Events that are left out permanently, in all generations.
SKIPPED: Final = Table(
    "skipped",
    _METADATA,
    Column("tenant", Text()),
    Column("projection", Text()),
    Column("stream", Uuid()),
    Column("version", BigInteger()),
    Column("position", BigInteger()),
    Column("event_id", Uuid()),
    Column("error", Text()),
    Column("reason", Text()),
    Column("actor", Text()),
    Column("skipped_at", TIMESTAMP(timezone=True)),
)


def checkpoint_of(slot: Slot[Any]) -> ColumnElement[bool]:
    """The slot's row of `CHECKPOINTS`."""
    return and_(
        CHECKPOINTS.c.tenant == TENANT,
        CHECKPOINTS.c.projection == slot.projection.name,
        CHECKPOINTS.c.generation == slot.generation,
        CHECKPOINTS.c.partition == PARTITION,
    )


def parked_of(slot: Slot[Any]) -> ColumnElement[bool]:
    """The rows of `PARKED` of the slot's generation."""
    return and_(
        PARKED.c.tenant == TENANT,
        PARKED.c.projection == slot.projection.name,
        PARKED.c.generation == slot.generation,
    )


def skipped_of(projection: str) -> ColumnElement[bool]:
    """The rows of `SKIPPED` of a projection."""
    return and_(SKIPPED.c.tenant == TENANT, SKIPPED.c.projection == projection)


def serving(projection: str) -> ColumnElement[bool]:
    """The projection's row of `PROJECTIONS`, joined with its checkpoint."""
    return and_(
        PROJECTIONS.c.tenant == TENANT,
        PROJECTIONS.c.name == projection,
        CHECKPOINTS.c.tenant == PROJECTIONS.c.tenant,
        CHECKPOINTS.c.projection == PROJECTIONS.c.name,
        CHECKPOINTS.c.generation == PROJECTIONS.c.generation,
        CHECKPOINTS.c.partition == PARTITION,
    )


def slot_row(slot: Slot[Any]) -> dict[str, Any]:
    """The columns of `PARKED` that name the generation of an event."""
    return {
        "tenant": literal(TENANT),
        "projection": literal(slot.projection.name),
        "generation": literal(slot.generation),
    }
