"""The port to the cached pages of lists: each counts until anything in its slot may have changed."""

from typing import Any, Protocol

from msgspec import Struct

from application.queries import Answer, UserList
from application.views import Slot


class Vacancy(Struct, frozen=True):
    """The place for a page that is not kept, as it was found: `mark` says where the slot stood."""

    slot: Slot[Any]
    query: UserList
    mark: bytes


class PageCache(Protocol):
    """For readers. It raises nothing: a cache that is away knows nothing.

    A slot that moves on or begins again has no pages any more, nor has one in which a document was
    replaced on the spot. So a page that is found was read at the slot's position or later, and
    nobody has passed that position since.
    """

    async def look_up(self, slot: Slot[Any], query: UserList) -> Answer[bytes] | Vacancy | None:
        """The page, or the place for it; None where no page can be kept now."""
        ...

    def offer(self, vacancy: Vacancy, page: Answer[bytes]) -> None:
        """Have a page kept that was read after its vacancy was found; returns at once.

        It is taken if the slot is as it was then, and stands nowhere behind the page.
        """
        ...
