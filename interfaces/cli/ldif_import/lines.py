"""The lines of a file in UTF-8, whatever its line ends are and its byte order mark says."""

import codecs
import re
from collections.abc import Iterable, Iterator
from typing import Final

# What is longer is cut to one byte more, so that no line fills the memory.
MAX_LINE: Final = 1 << 20

# A carriage return too many is left by files that were converted twice.
_END: Final = re.compile(rb"\r{0,2}\n|\r")
# The marks of UTF-32 come first, because one of them begins like one of UTF-16.
_MARKS: Final = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_LONGEST_MARK: Final = 4

# Number, text without its end, and whether it has an end: the last line may be cut off.
Line = tuple[int, bytes, bool]


class UnreadableText(Exception):
    """The bytes are not what the byte order mark says; the message names the encoding."""


def read_lines(chunks: Iterable[bytes]) -> Iterator[Line]:
    """Line ends are CR LF, LF or CR. Where files are joined, each may begin with a byte order mark.

    Raises `UnreadableText`.
    """
    number, begun = 0, b""
    for piece in _pieces(_utf8(chunks)):
        first, *others = _END.split(piece)
        if len(begun) <= MAX_LINE:
            begun += first[: MAX_LINE + 1]
        for line in others:
            number += 1
            yield number, begun.removeprefix(codecs.BOM_UTF8), True
            begun = line[: MAX_LINE + 1]
    if begun:
        yield number + 1, begun.removeprefix(codecs.BOM_UTF8), False


def _pieces(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes; no piece ends within a line end."""
    held = b""
    for chunk in chunks:
        data = held + chunk
        # A line feed may follow in the next chunk.
        end = len(data) - (2 if data.endswith(b"\r\r") else 1 if data.endswith(b"\r") else 0)
        held = data[end:]
        yield data[:end]
    yield held


def _utf8(chunks: Iterable[bytes]) -> Iterator[bytes]:
    chunks = iter(chunks)
    start = b""
    for chunk in chunks:
        start += chunk
        if len(start) >= _LONGEST_MARK:
            break
    encoding = next((encoding for mark, encoding in _MARKS if start.startswith(mark)), None)
    if encoding is None:
        yield start
        yield from chunks
        return
    decoder = codecs.getincrementaldecoder(encoding)()
    try:
        yield decoder.decode(start).encode()
        for chunk in chunks:
            yield decoder.decode(chunk).encode()
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        raise UnreadableText(encoding.upper()) from None
