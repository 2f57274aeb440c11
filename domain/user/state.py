"""What a user is, folded from events by assignment alone."""

from typing import Any, Literal

from msgspec import Struct

from domain.event import Erased
from domain.user.events import UserEvent

Status = Literal["active", "suspended", "deleted", "erased"]


class User(Struct, frozen=True, kw_only=True):
    name: str | Erased
    email: str | Erased
    role: str
    external_id: str | None | Erased
    attributes: dict[str, Any] | Erased
    status: Status
    before_deletion: Literal["active", "suspended"] = "active"


def evolve(user: User | None, event: UserEvent) -> User:
    """The user after the event; never fails on a history that `decide` made."""
    raise NotImplementedError
