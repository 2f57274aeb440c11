"""The lock of a slot: the process that holds it writes the slot's views."""

from typing import Any

from application.context import TENANT
from application.projector.view_store import Slot
from infrastructure.leadership import lock_key


def lead_name(slot: Slot[Any]) -> str:
    """The name under which a process leads the slot."""
    return _name(str(slot))


def lock_of(slot: Slot[Any]) -> int:
    """The advisory lock that the slot's leader holds."""
    return lock_key(_name(str(slot)))


def locks_of(projection: str, generation: int, partitions: int) -> list[int]:
    """The locks of all slots of a generation, also of a projection that no longer exists."""
    slots = (f"{projection}/{generation}/{partition}" for partition in range(partitions))
    return [lock_key(_name(slot)) for slot in slots]


def _name(slot: str) -> str:
    return f"view {TENANT}/{slot}"
