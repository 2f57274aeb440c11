"""A wake-up without content: whoever hears it looks at the stored position."""

from contextlib import AbstractAsyncContextManager
from typing import Final, Protocol

LOG: Final = "log"
# Other slots are to be followed, or another generation serves.
GENERATIONS: Final = "generations"
# Something was parked, or mended.
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
        """Wake every listener of this process, and of the others where there are any."""
        ...

    def listen(self, name: str) -> AbstractAsyncContextManager[Bell]:
        """Hear a bell from now on, until the context ends."""
        ...
