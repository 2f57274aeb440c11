"""Answers about the relay, for administrators."""

from collections.abc import Sequence
from typing import Any, Literal, Self
from uuid import UUID

from msgspec import Struct
from msgspec.structs import asdict

from application.messaging import rejected as relay
from application.timestamps import Timestamp, timestamp


class RelayStatus(Struct, frozen=True, kw_only=True):
    """How far the relay is; `rejected` counts the events that were set aside, up to 10,000."""

    position: int
    head: int
    lag: int
    lag_seconds: float
    rejected: int
    last_rejected_at: Timestamp | None
    state: Literal["live", "catching-up", "stopped"]

    @classmethod
    def of(cls, status: relay.RelayStatus) -> Self:
        last = status.last_rejected_at
        fields: dict[str, Any] = {
            **asdict(status),
            "last_rejected_at": None if last is None else timestamp(last),
        }
        return cls(**fields)


class Rejected(Struct, frozen=True, kw_only=True):
    """An event that was not published; `error` says why, and never repeats a value."""

    position: int
    event_id: UUID
    type: str
    stream: UUID
    error: str
    set_aside_at: Timestamp

    @classmethod
    def of(cls, rejected: relay.Rejected) -> Self:
        set_aside_at = timestamp(rejected.set_aside_at)
        fields: dict[str, Any] = {**asdict(rejected), "set_aside_at": set_aside_at}
        return cls(**fields)


class RejectedList(Struct, frozen=True, kw_only=True):
    items: Sequence[Rejected]
    next_cursor: str | None
    position: int
