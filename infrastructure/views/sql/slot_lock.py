"""The lock of a slot: the session that holds it writes the slot's views."""

from contextlib import AbstractAsyncContextManager
from typing import Any

from application.context import TENANT
from application.projector.view_store import Slot
from infrastructure.leadership import LeadingSession, lock_key


def lead_session(database_url: str, slot: Slot[Any]) -> AbstractAsyncContextManager[LeadingSession]:
    """Waits until the slot has no leader, then leads it. Raises `Unavailable`."""
    return LeadingSession.open(database_url, _name(str(slot)), "rollbook projector")


def lock_of(slot: Slot[Any]) -> int:
    """The advisory lock that the slot's leader holds."""
    return lock_key(_name(str(slot)))


def locks_of(projection: str, generation: int, partitions: int) -> list[int]:
    """The locks of all slots of a generation, also of a projection that no longer exists."""
    slots = (f"{projection}/{generation}/{partition}" for partition in range(partitions))
    return [lock_key(_name(slot)) for slot in slots]


def _name(slot: str) -> str:
    return f"view {TENANT}/{slot}"
