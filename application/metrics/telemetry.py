"""The port to what is measured: HTTP tells of its answers, and hands out all figures as text."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Literal, Protocol

from msgspec import Struct


class Reading(Struct, frozen=True, kw_only=True):
    """A figure by the values of its labels, which come from a closed set and name nobody.

    A counter only rises while the process runs; its name ends in `_total`.
    """

    name: str
    help: str
    kind: Literal["counter", "gauge"] = "gauge"
    labels: tuple[str, ...] = ()
    values: Mapping[tuple[str, ...], float]


Source = Callable[[], Awaitable[Sequence[Reading]]]
"""Readings that are taken when they are asked for; whatever it raises, there are none now."""


class Exposition(Struct, frozen=True):
    """All figures in a form that a scraper takes."""

    body: bytes
    media_type: str


class Telemetry(Protocol):
    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count an answer: of a route as it is declared, so many seconds after its request."""
        ...

    async def exposition(self, accept: str) -> Exposition:
        """All figures as they are now, in the form that an Accept header prefers.

        What cannot be read within 2 s is left out; it raises nothing.
        """
        ...
