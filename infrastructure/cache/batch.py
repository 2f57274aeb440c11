"""Asks many questions in one round trip: who comes while one is under way shares the next."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

Q = TypeVar("Q")
A = TypeVar("A")


class Gatherer(Generic[Q, A]):
    """One round trip at a time, with no delay of its own: under load each carries more questions.

    `fetch` answers questions in their order. An error of it reaches everyone who shared the trip.
    """

    def __init__(
        self, fetch: Callable[[Sequence[Q]], Awaitable[Sequence[A]]], *, most: int
    ) -> None:
        self._fetch = fetch
        self._most = most
        self._waiting: list[tuple[Q, asyncio.Future[A]]] = []
        self._fetching: asyncio.Task[None] | None = None

    @property
    def waiting(self) -> int:
        """How many questions are not under way yet."""
        return len(self._waiting)

    def ask(self, question: Q) -> asyncio.Future[A]:
        """The answer, as it is at some moment after the call."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[A] = loop.create_future()
        self._waiting.append((question, answer))
        if self._fetching is None:
            self._fetching = loop.create_task(self._fetch_all())
        return answer

    async def idle(self) -> None:
        """Return once nothing waits or is under way."""
        while self._fetching is not None:
            await asyncio.wait([self._fetching])

    async def _fetch_all(self) -> None:
        try:
            while self._waiting:
                batch = self._waiting[: self._most]
                del self._waiting[: self._most]
                await self._fetch_one(batch)
        finally:
            self._fetching = None

    async def _fetch_one(self, batch: Sequence[tuple[Q, asyncio.Future[A]]]) -> None:
        try:
            answers = await self._fetch([question for question, _ in batch])
            for (_, future), answer in zip(batch, answers, strict=True):
                if not future.done():
                    future.set_result(answer)
        except Exception as error:
            for _, future in batch:
                if not future.done():
                    future.set_exception(error)
        finally:
            # Whatever ended the trip, nobody is left waiting.
            for _, future in batch:
                future.cancel()
