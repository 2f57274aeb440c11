"""The directory page: one row a user, typed, sortable and searchable."""

from datetime import datetime
from typing import Any
from uuid import UUID

from msgspec import Struct

from domain.user.state import Status


class UserView(Struct, frozen=True, kw_only=True):
    """A user as it is listed; the four personal fields are None once the user is erased."""

    id: UUID
    external_id: str | None
    name: str | None
    email: str | None
    role: str
    status: Status
    attributes: dict[str, Any] | None
    version: int
    created_at: datetime
    updated_at: datetime
