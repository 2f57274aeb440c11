"""What `ldapsearch` writes around its entries: whether the directory gave all of them."""

from typing import Final

# One line of a record: its number, its text and whether the file has its end.
Record = list[tuple[int, bytes, bool]]

_HEADER: Final = b"# extended LDIF"
_TRAILER: Final = frozenset({b"search", b"result"})
_REFERENCE: Final = b"ref"
_MISSING: Final = "entries may be missing, because the file has no result of its search"
_SUCCESS: Final = b"0"
# RFC 4511, appendix A.
_CODES: Final = {
    b"1": "operations error",
    b"3": "time limit exceeded",
    b"4": "size limit exceeded",
    b"10": "referral",
    b"11": "administrative limit exceeded",
    b"32": "no such object",
    b"50": "insufficient access rights",
    b"51": "busy",
    b"52": "unavailable",
    b"80": "other",
}


class SearchResult:
    """The results of the searches that made a file."""

    def __init__(self) -> None:
        self._is_awaited = False
        self._failure: str | None = None

    @property
    def problem(self) -> str | None:
        """Why entries are missing in the file, None if nothing says so."""
        return _MISSING if self._failure is None and self._is_awaited else self._failure

    def read_comment(self, line: bytes) -> None:
        if line.rstrip() == _HEADER:
            self._failure = self.problem
            self._is_awaited = True

    def take(self, record: Record) -> None:
        """Remove from a record what is not of an entry, and remember the result in it."""
        first = _name(record[0][1])
        if first == _REFERENCE:
            record.clear()
        elif first in _TRAILER:
            for number, line, _ in record:
                self._read(number, line)
            record.clear()
        while record and _is_trailer(record[-1][1]):
            number, line, _ = record.pop()
            self._read(number, line)

    def _read(self, number: int, line: bytes) -> None:
        if _name(line) != b"result":
            return
        self._is_awaited = False
        code = line.partition(b":")[2].split(maxsplit=1)[:1] or [b""]
        if code[0] != _SUCCESS:
            meaning = _CODES.get(code[0], "a code other than success")
            self._failure = f"entries are missing: by line {number} the search ended with {meaning}"


def _name(line: bytes) -> bytes:
    return line.partition(b":")[0].lower()


def _is_trailer(line: bytes) -> bool:
    """Whether a last line of an entry is such a result: no blank line came before it."""
    code = line.partition(b":")[2].split(maxsplit=1)[:1]
    return _name(line) in _TRAILER and bool(code) and code[0].isdigit()
