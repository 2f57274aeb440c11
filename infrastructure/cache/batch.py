"""A batching loader: requests that arrive during a round trip share the next one."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

K = TypeVar("K")
R = TypeVar("R")


class BatchLoader(Generic[K, R]):
    """One round trip at a time, without artificial delay: under load each batch is larger.

    `fetch` returns results in the order of the keys. Its error goes to every caller of the batch.
    """

    def __init__(
        self, fetch: Callable[[Sequence[K]], Awaitable[Sequence[R]]], *, max_batch: int
    ) -> None:
        self._fetch = fetch
        self._max_batch = max_batch
        self._waiting: list[tuple[K, asyncio.Future[R]]] = []
        self._fetching: asyncio.Task[None] | None = None

    @property
    def waiting(self) -> int:
        """The number of keys that are not in a round trip yet."""
        return len(self._waiting)

    def load(self, key: K) -> asyncio.Future[R]:
        """The result for a key, read after this call."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[R] = loop.create_future()
        self._waiting.append((key, future))
        if self._fetching is None:
            self._fetching = loop.create_task(self._fetch_all())
        return future

    async def idle(self) -> None:
        """Returns when no key waits and no round trip runs."""
        while self._fetching is not None:
            await asyncio.wait([self._fetching])

    async def _fetch_all(self) -> None:
        try:
            while self._waiting:
                batch = self._waiting[: self._max_batch]
                del self._waiting[: self._max_batch]
                await self._fetch_batch(batch)
        finally:
            self._fetching = None

    async def _fetch_batch(self, batch: Sequence[tuple[K, asyncio.Future[R]]]) -> None:
        try:
            results = await self._fetch([key for key, _ in batch])
            for (_, future), result in zip(batch, results, strict=True):
                if not future.done():
                    future.set_result(result)
        except Exception as error:
            for _, future in batch:
                if not future.done():
                    future.set_exception(error)
        finally:
            # No caller is left waiting, however the round trip ended.
            for _, future in batch:
                future.cancel()
