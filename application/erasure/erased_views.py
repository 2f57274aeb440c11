"""The port to all generations of all views, for erasures."""

from collections.abc import Sequence
from typing import Final, Protocol

from msgspec import Struct

VIEWS: Final = "views"


class ViewGeneration(Struct, frozen=True):
    """One generation of a view: its position, and whether it serves."""

    projection: str
    generation: int
    serves: bool
    position: int

    def __str__(self) -> str:
        return f"{VIEWS}:{self.projection}/{self.generation}"


class ErasedViews(Protocol):
    """All generations of all views, for erasures."""

    async def generations(self) -> Sequence[ViewGeneration]:
        """All generations; one that no projector follows is at 0. Raises `Unavailable`."""
        ...

    async def dropped_since(self, seconds: int) -> Sequence[int]:
        """The generations of the users that were dropped in this time. Raises `Unavailable`."""
        ...

    async def finish_erasure(self, view: ViewGeneration, position: int, seconds: float) -> None:
        """Make the removal from a view durable, once the view has passed the position.

        Also renews the planner statistics of the view, which may hold samples of the person.
        Raises `Unavailable`, also if it takes longer than `seconds`.
        """
        ...
