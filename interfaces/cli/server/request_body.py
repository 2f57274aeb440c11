"""Where the body of a request ends (RFC 9112, sections 6 and 7), within limits."""

import re
from collections.abc import Iterable
from typing import Final

# For a head; and for a trailer together with the extensions of all chunks.
MAX_HEAD_BYTES: Final = 64 * 1024
MAX_FIELDS: Final = 200

# A client chooses the size of its chunks: so many steps take about a tenth of a millisecond.
_MAX_STEPS: Final = 300
_USUAL_LINE: Final = 32
_SIZE: Final = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\x00-\x08\x0a-\x1f\x7f]*)?\r\n")
_FIELD: Final = re.compile(rb"[^\x00-\x20:\x7f]+:[^\x00-\x08\x0a-\x1f\x7f]*\r\n")


class MalformedMessage(Exception):
    """What was sent is no HTTP/1.1; the message is for people."""


class SizedBody:
    """A body with a Content-Length."""

    is_interrupted = False

    def __init__(self, size: int) -> None:
        self._left = size

    @property
    def is_whole(self) -> bool:
        return not self._left

    def take(self, received: bytearray) -> bytes:
        """Remove what belongs to the body from the received bytes, and return it."""
        data = bytes(received[: self._left])
        del received[: len(data)]
        self._left -= len(data)
        return data


class ChunkedBody:
    """A body in chunks; their extensions and the trailer are dropped.

    A trailer is no header (RFC 9110, section 6.5.1): a proxy that filters headers lets it through.
    """

    def __init__(self) -> None:
        self.is_whole = False
        # Whether `take` has left some of the received bytes for its next call.
        self.is_interrupted = False
        self._left = 0
        self._in_chunk = False
        self._fields: int | None = None
        self._allowance = MAX_HEAD_BYTES

    def take(self, received: bytearray) -> bytes:
        """Remove some of the body from the received bytes, and return its data.

        Raises `MalformedMessage`.
        """
        pieces: list[bytearray] = []
        at = 0
        self.is_interrupted = False
        for _ in range(_MAX_STEPS):
            if self._left:
                piece = received[at : at + self._left]
                if not piece:
                    break
                pieces.append(piece)
                at += len(piece)
                self._left -= len(piece)
            elif (line := self._line(received, at)) is not None:
                at += len(line)
                self._read(line)
                if self.is_whole:
                    break
            else:
                break
        else:
            self.is_interrupted = at < len(received)
        del received[:at]
        return b"".join(pieces)

    def _line(self, received: bytearray, at: int) -> bytes | None:
        """The next line with its end, if it is there."""
        limit = at + _USUAL_LINE + self._allowance
        end = received.find(b"\n", at, limit) + 1
        if not end and len(received) >= limit:
            raise MalformedMessage("The chunks have too long extensions or trailers.")
        return bytes(received[at:end]) if end else None

    def _read(self, line: bytes) -> None:
        if self._in_chunk:
            if line != b"\r\n":
                raise MalformedMessage("A chunk is longer than its size.")
            self._in_chunk = False
        elif self._fields is None:
            size = _SIZE.fullmatch(line)
            if size is None:
                raise MalformedMessage("A chunk needs its size in hexadecimal digits.")
            self._left = int(size[1], 16)
            self._in_chunk = self._left > 0
            self._allowance -= max(0, len(line) - _USUAL_LINE)
            if not self._left:
                self._fields = 0
        elif line == b"\r\n":
            self.is_whole = True
        else:
            self._fields += 1
            self._allowance -= len(line)
            if self._fields > MAX_FIELDS or self._allowance < 0 or not _FIELD.fullmatch(line):
                raise MalformedMessage("The trailer is malformed or too long.")


def body_of(headers: Iterable[tuple[bytes, bytes]]) -> SizedBody | ChunkedBody | None:
    """The body that these headers announce; None if there is none. Raises `MalformedMessage`.

    The parser of heads has already refused lengths that are no numbers, two lengths, and a length
    beside a transfer coding.
    """
    codings = [value.lower() for name, value in headers if name == b"transfer-encoding"]
    if codings:
        if codings != [b"chunked"]:
            raise MalformedMessage("The only transfer coding is chunked.")
        return ChunkedBody()
    sizes = [int(value) for name, value in headers if name == b"content-length"]
    return SizedBody(sizes[0]) if sizes and sizes[0] else None
