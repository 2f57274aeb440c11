"""Sums over the streams of a slot that tell two builds of it apart, whatever order they come in."""

import hashlib
from typing import Any, Final
from uuid import UUID

from application.views import Entry

_BYTES: Final = 16
_MODULUS: Final = 1 << (8 * _BYTES)


class Tally:
    """How many events were counted, and a digest over the chains of all streams.

    The digest is the sum, modulo 2**128, of the first 16 bytes of SHA-256 over stream, version and
    chain of each. A chain digests the ids of a stream's events in their order, so equal digests
    mean: the same events of the same streams, each once.
    """

    def __init__(self) -> None:
        self.events = 0
        self._digest = 0

    def add(self, stream: UUID, entry: Entry[Any]) -> None:
        """Count a stream's entry."""
        version = entry.version.to_bytes(8, "big", signed=True)
        digest = hashlib.sha256(stream.bytes + version + entry.chain).digest()[:_BYTES]
        self.events += entry.version
        self._digest = (self._digest + int.from_bytes(digest, "big")) % _MODULUS

    @property
    def checksum(self) -> str:
        """The digest, as 32 hexadecimal digits."""
        return f"{self._digest:0{2 * _BYTES}x}"
