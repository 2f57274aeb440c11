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
    and_,
)

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
)


def checkpoint_of(slot: Slot[Any]) -> ColumnElement[bool]:
    """The slot's row of `CHECKPOINTS`."""
    return and_(
        CHECKPOINTS.c.tenant == TENANT,
        CHECKPOINTS.c.projection == slot.projection.name,
        CHECKPOINTS.c.generation == slot.generation,
        CHECKPOINTS.c.partition == PARTITION,
    )


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
