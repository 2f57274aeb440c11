"""Requests and answers of the operations on reactions, for administrators."""

from collections.abc import Sequence
from typing import Any, Literal, Self
from uuid import UUID

from msgspec import Struct
from msgspec.structs import asdict
from pydantic import Field

from application.reactions import admin
from application.timestamps import Timestamp, timestamp
from interfaces.http.protocol.validation import RequestModel
from interfaces.http.schemas.projections import Reason


class SkipReactionBody(RequestModel):
    reason: Reason = Field(description="Why the event is skipped; recorded with the actor.")


class Reaction(Struct, frozen=True, kw_only=True):
    """A reaction; `reason` says why it is not on.

    `state` is `on`, `waiting` (a server that it needs is away) or `off`. It reacts to events after
    `enabled_from`. `queued` counts the runs to come, also those behind a parked one, and `parked`
    the parked users, both up to 10,000.
    """

    name: str
    description: str
    types: Sequence[str]
    state: Literal["on", "waiting", "off"]
    reason: str | None
    enabled: bool
    available: bool
    enabled_from: int | None
    position: int
    lag: int
    queued: int
    parked: int
    changed_by: str | None
    changed_at: Timestamp | None

    @classmethod
    def of(cls, status: admin.ReactionStatus) -> Self:
        changed_at = None if status.changed_at is None else timestamp(status.changed_at)
        fields: dict[str, Any] = {**asdict(status), "changed_at": changed_at}
        return cls(**fields)


class ReactionList(Struct, frozen=True, kw_only=True):
    items: Sequence[Reaction]
    next_cursor: None
    position: int


class ParkedUser(Struct, frozen=True, kw_only=True):
    """A parked user: the event that failed, and how many later ones wait behind it.

    `error` says what is wrong, and never repeats a value.
    """

    user: UUID
    position: int
    event_id: UUID
    type: str | None
    error: str
    tries: int
    parked_at: Timestamp
    waiting: int

    @classmethod
    def of(cls, parked: admin.ParkedUser) -> Self:
        fields: dict[str, Any] = {**asdict(parked), "parked_at": timestamp(parked.parked_at)}
        return cls(**fields)


class ParkedUserList(Struct, frozen=True, kw_only=True):
    items: Sequence[ParkedUser]
    next_cursor: str | None
    position: int


class UnparkedUser(Struct, frozen=True, kw_only=True):
    """What becomes of the event at which the user was parked."""

    reaction: str
    user: UUID
    state: Literal["queued", "skipped"]
