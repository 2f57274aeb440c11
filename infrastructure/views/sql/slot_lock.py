"""Leading one slot: whoever holds its lock writes its views."""

from contextlib import AbstractAsyncContextManager
from typing import Any

from application.context import TENANT
from application.projector.view_store import Slot
from infrastructure.leadership import LeadingSession, lock_key


def lead_session(database_url: str, slot: Slot[Any]) -> AbstractAsyncContextManager[LeadingSession]:
    """Waits until nobody leads the slot, then does. Raises `Unavailable`."""
    return LeadingSession.open(database_url, _name(str(slot)), "rollbook projector")


def lock_of(slot: Slot[Any]) -> int:
    """The advisory lock that whoever leads the slot holds."""
    return lock_key(_name(str(slot)))


def locks_of(projection: str, generation: int, partitions: int) -> list[int]:
    """The same for all slots of a generation, whose projection need not be known any more."""
    slots = (f"{projection}/{generation}/{partition}" for partition in range(partitions))
    return [lock_key(_name(slot)) for slot in slots]


def _name(slot: str) -> str:
    return f"view {TENANT}/{slot}"
