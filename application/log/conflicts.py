"""Further tries of a command after its stream or claim was taken by another command meanwhile."""

import asyncio
import random
from typing import Final

from application.errors import Contended

# No append begins later than this, so that the caller has an answer within its 2 seconds.
_BEGIN_SECONDS: Final = 1.6
_JITTER_SECONDS: Final = (0.002, 0.03)


class Tries:
    """The tries of one command, which begin with this object."""

    def __init__(self) -> None:
        self._begin_by = asyncio.get_running_loop().time() + _BEGIN_SECONDS

    async def pause(self) -> None:
        """Wait a moment before the next try. Raises `Contended` if there is no time for one."""
        if asyncio.get_running_loop().time() >= self._begin_by:
            raise Contended
        await asyncio.sleep(random.uniform(*_JITTER_SECONDS))  # noqa: S311
