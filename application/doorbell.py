"""A wake-up without content: the listener then reads the stored position."""

from contextlib import AbstractAsyncContextManager
from typing import Final, Protocol

LOG: Final = "log"
# The followed slots changed, or another generation serves.
GENERATIONS: Final = "generations"
# A stream was parked, or a parked stream was retried.
PARKED: Final = "parked"


def view_bell(projection: str) -> str:
    """The bell that rings after a view moved."""
    return f"view:{projection}"


class Bell(Protocol):
    """One listener: `wait` returns whether the bell rang before `seconds` passed.

    A ring between two waits is not lost: the next wait returns at once.
    """

    async def wait(self, seconds: float) -> bool: ...


class Doorbell(Protocol):
    def ring(self, name: str) -> None:
        """Wake all listeners of this process, and of other processes."""
        ...

    def listen(self, name: str) -> AbstractAsyncContextManager[Bell]:
        """Listen to a bell until the context ends."""
        ...
