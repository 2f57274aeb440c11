"""The port that makes a page's end opaque: encrypted, because a sort key may be a name."""

from typing import Protocol


class TokenSealer(Protocol):
    def seal(self, plain: bytes) -> str:
        """A text that is safe in a URL."""
        ...

    def open(self, token: str) -> bytes:
        """What was sealed. Raises `SealBroken` for anything this box did not seal."""
        ...
