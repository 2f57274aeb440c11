"""The port to the metrics: HTTP counts its answers, and serves all metrics as text."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Literal, Protocol

from msgspec import Struct

from application.identity import Principal


class Reading(Struct, frozen=True, kw_only=True):
    """A metric by the values of its labels, which are from a closed set and not personal.

    A counter only rises while the process runs; its name ends in `_total`.
    """

    name: str
    help: str
    kind: Literal["counter", "gauge"] = "gauge"
    labels: tuple[str, ...] = ()
    values: Mapping[tuple[str, ...], float]


Source = Callable[[], Awaitable[Sequence[Reading]]]
"""Called at each scrape; if it raises, its readings are left out."""


class Exposition(Struct, frozen=True):
    """All metrics in a format for scrapers."""

    body: bytes
    media_type: str


class Telemetry(Protocol):
    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count an answer: its route as declared, and the seconds since its request."""
        ...

    def refused(self, route: str, status: int, caller: Principal | None) -> None:
        """Count a refused attempt by the token that made it; None: an unknown caller."""
        ...

    async def exposition(self, accept: str) -> Exposition:
        """All current metrics, in the format that an Accept header prefers.

        Leaves out what cannot be read within 2 s; raises nothing.
        """
        ...
