"""Answers of endpoints that fail in a way that a test decides."""

import asyncio
import random
from collections.abc import Collection
from uuid import UUID

from tests.support.webhooks.receiver import Received


class Endpoint:
    """Answers `status` after `seconds`, and 500 to events of the users in `refused`."""

    def __init__(self, *, status: int = 204, refused: Collection[UUID] = ()) -> None:
        self.status = status
        self.refused = {str(user) for user in refused}
        self.seconds = 0.0

    async def __call__(self, request: Received) -> int:
        await asyncio.sleep(self.seconds)
        return 500 if request.user in self.refused else self.status


class Flaky:
    """Accepts, refuses, hangs and breaks off at random, until `works` is set."""

    def __init__(self, seed: int) -> None:
        self.works = False
        self._random = random.Random(seed)

    async def __call__(self, request: Received) -> int | bytes:
        chance = 0.0 if self.works else self._random.random()
        if chance < 0.6:
            await asyncio.sleep(self._random.random() * 0.01)
            return 204
        if chance < 0.8:
            return self._random.choice([301, 400, 404, 429, 500, 503])
        if chance < 0.9:
            return b"HTTP/1.1 "
        await asyncio.sleep(1)
        return 204
