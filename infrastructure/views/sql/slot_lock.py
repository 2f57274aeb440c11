"""The lock of a slot: the process that holds it writes the slot's views."""

from application.context import TENANT
from application.projector.view_store import PARTITION
from infrastructure.leadership import lock_key


def lead_name(projection: str, generation: int) -> str:
    """The name under which a process leads the slot, also of a projection of another release."""
    return f"view {TENANT}/{projection}/{generation}/{PARTITION}"


def lock_of(projection: str, generation: int) -> int:
    """The advisory lock that the slot's leader holds."""
    return lock_key(lead_name(projection, generation))
