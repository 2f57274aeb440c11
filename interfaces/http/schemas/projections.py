"""Requests and answers of the operations on projections, for administrators."""

from collections.abc import Sequence
from typing import Annotated, Any, Self
from uuid import UUID

import msgspec
from msgspec import Struct
from msgspec.structs import asdict
from pydantic import Field, StrictBool, StringConstraints, WithJsonSchema

from application.projector import stored_views
from application.projector.admin import ParkedStream
from application.projector.parked import RetryResult
from application.projector.view_store import ParkedEvent
from application.timestamps import Timestamp, timestamp
from interfaces.http.protocol.fields import PositiveField
from interfaces.http.protocol.json_schemas import TEXT
from interfaces.http.protocol.validation import RequestModel

Reason = Annotated[
    str,
    StringConstraints(min_length=1, max_length=500, strict=True),
    WithJsonSchema({"type": "string", "minLength": 1, "maxLength": 500, "pattern": TEXT}),
]


class RollbackBody(RequestModel):
    to: PositiveField = Field(description="The generation to switch back to.")


class SkipBody(RequestModel):
    version: PositiveField = Field(
        description="The event to skip, by version; if another one is first, nothing is skipped."
    )
    reason: Reason = Field(description="Why the event is skipped; recorded with the actor.")


class UnskipBody(RequestModel):
    version: PositiveField = Field(description="The event that is skipped, by version.")


class VerifyBody(RequestModel):
    repair: StrictBool = Field(
        default=False, description="Switch to the new build if anything differs."
    )


class PauseBody(RequestModel):
    reason: Reason | None = None


class Parked(Struct, frozen=True, kw_only=True):
    """The event that a projection could not apply; `events` counts those that wait with it.

    `error` says what is wrong and where, and never repeats a value.
    """

    stream: UUID
    version: int
    position: int
    event_id: UUID
    type: str | None
    error: str
    parked_at: Timestamp
    events: int

    @classmethod
    def of(cls, parked: ParkedStream) -> Self:
        fields: dict[str, Any] = {**asdict(parked), "parked_at": timestamp(parked.parked_at)}
        return cls(**fields)


class ParkedList(Struct, frozen=True, kw_only=True):
    items: Sequence[Parked]
    next_cursor: str | None
    position: int


class StillParked(Struct, frozen=True, kw_only=True):
    version: int
    position: int
    event_id: UUID
    error: str

    @classmethod
    def of(cls, parked: ParkedEvent) -> Self:
        return cls(
            version=parked.version,
            position=parked.position,
            event_id=parked.event_id,
            error=parked.error,
        )


class RetriedStream(Struct, frozen=True, kw_only=True):
    """How many events were applied, and the one that is parked now, if any."""

    stream: UUID
    applied: int
    parked: StillParked | None

    @classmethod
    def of(cls, stream: UUID, result: RetryResult) -> Self:
        parked = result.parked and StillParked.of(result.parked)
        return cls(stream=stream, applied=result.applied, parked=parked)


class StoredView(Struct, frozen=True, kw_only=True):
    """The view after `version` events of its stream; null if it has none, as after an erasure."""

    generation: int
    serving: bool
    version: int
    view: dict[str, Any] | None

    @classmethod
    def of(cls, stored: stored_views.StoredView) -> Self:
        return cls(
            generation=stored.generation,
            serving=stored.serving,
            version=stored.version,
            view=msgspec.to_builtins(stored.view),
        )


class StoredViewList(Struct, frozen=True, kw_only=True):
    items: Sequence[StoredView]
    next_cursor: None
    position: int


class ProjectionOrdered(Struct, frozen=True, kw_only=True):
    """The projection after the command."""

    name: str
    paused: bool
