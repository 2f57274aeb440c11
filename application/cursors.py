"""The port that encrypts page cursors and export requests: they may contain a name."""

from typing import Protocol


class TokenSealer(Protocol):
    def seal(self, plain: bytes) -> str:
        """A text that is safe in a URL."""
        ...

    def open(self, token: str) -> bytes:
        """The sealed bytes. Raises `SealBroken` for a token that this sealer did not seal."""
        ...
