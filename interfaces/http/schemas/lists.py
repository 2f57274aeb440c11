"""Answers that are lists."""

from collections.abc import Sequence

from msgspec import Struct

from application.audit.items import AuditItem
from application.log.envelope import Envelope
from application.queries.directory import ProjectionStatus
from application.queries.resources import User


class UserList(Struct, frozen=True, kw_only=True):
    items: Sequence[User]
    next_cursor: str | None
    position: int


class EventList(Struct, frozen=True, kw_only=True):
    """Continue with `after` = `next_after`; `head` is the highest position in the log.

    `position` is that of this answer, as in `Rollbook-Position`.
    """

    items: Sequence[Envelope]
    next_after: int
    head: int
    position: int


class AuditList(Struct, frozen=True, kw_only=True):
    """A page may hold few items, or none: continue as long as there is a `next_cursor`."""

    items: Sequence[AuditItem]
    next_cursor: str | None
    position: int


class ProjectionList(Struct, frozen=True, kw_only=True):
    items: Sequence[ProjectionStatus]
    next_cursor: None
    position: int
