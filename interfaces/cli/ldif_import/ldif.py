"""Reads LDIF content records (RFC 2849) line by line; a broken one does not stop the rest."""

import binascii
import re
from base64 import b64decode
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from msgspec import Struct

from interfaces.cli.ldif_import.lines import MAX_LINE, Line, UnreadableText, read_lines
from interfaces.cli.ldif_import.search_result import Record, SearchResult

# Wider than RFC 2849: the names and options of attributes that are not read do not matter, such as
# `memberOf;range=0-1499` of Active Directory. A name with a blank is text that was cut wrongly.
_NAME: Final = re.compile(rb"([^\x00-\x20\x7f:;]+)((?:;[^\x00-\x20\x7f:]*)?)")
_STRUCTURE: Final = frozenset({"dn", "version", "changetype", "control", "search", "result", "ref"})


class Entry(Struct, frozen=True):
    """An entry and its first line; `values` has the requested attributes as they are written.

    A value is decoded when it is used: nothing else is judged.
    """

    line: int
    values: Mapping[str, list[tuple[int, bytes]]]

    def texts(self, name: str) -> list[str]:
        """The values of an attribute as text, trimmed, without empty and repeated ones.

        Raises `BrokenValue`.
        """
        texts = (_text(line, value).strip() for line, value in self.values.get(name, []))
        return list(dict.fromkeys(text for text in texts if text))


class BrokenEntry(Struct, frozen=True):
    """A record that is not a valid entry; the reason repeats nothing of it."""

    line: int
    reason: str


class FileProblem(Struct, frozen=True):
    """Why the file as a whole is not what a directory holds."""

    reason: str


class BrokenValue(Exception):
    """A value that is used cannot be read; the message names its line."""


class _Broken(Exception):
    """A line of a record is not valid."""


def read_ldif(
    chunks: Iterable[bytes], names: Mapping[str, str]
) -> Iterator[Entry | BrokenEntry | FileProblem]:
    """The entries of a file, which may come in pieces of any size, or what is wrong with them.

    `names` maps the requested attributes, in lower case, to their names in the result. All other
    values are skipped: never decoded, stored or fetched. Attributes with options (`cn;lang-ja`)
    are skipped too. Problems of the file come last.
    """
    result = SearchResult()
    is_empty = True
    try:
        for record in _records(read_lines(chunks), names, result):
            result.take(record)
            if not _take_version(record):
                yield FileProblem(f"line {record[0][0]}: the file is not LDIF of version 1")
                return
            if record:
                is_empty = False
                try:
                    yield _entry(record, names)
                except _Broken as broken:
                    yield BrokenEntry(record[0][0], str(broken))
    except UnreadableText as problem:
        yield FileProblem(f"the file is not valid {problem}, or it is cut off")
        return
    if result.problem is not None:
        yield FileProblem(result.problem)
    elif is_empty:
        yield FileProblem("the file has no entries")


def _records(
    lines: Iterable[Line], names: Mapping[str, str], result: SearchResult
) -> Iterator[Record]:
    """The unfolded lines between blank ones, each with the number of its first line."""
    record: Record = []
    for number, line, is_whole in _unfolded(lines, names):
        if line.startswith(b"#"):
            result.read_comment(line)
        elif line:
            record.append((number, line, is_whole))
        elif record:
            yield record
            record = []
    if record:
        yield record


def _unfolded(lines: Iterable[Line], names: Mapping[str, str]) -> Iterator[Line]:
    """Logical lines: a line that begins with a space continues the last.

    Of values that are not read, only the name is kept, and of longer ones than a line may be the
    beginning: they may be pictures of any size.
    """
    start, parts, is_whole = 0, list[bytes](), True
    size, is_read = 0, True
    for number, line, has_end in lines:
        if line.startswith(b" ") and parts and parts[0]:
            is_whole = has_end
            if is_read and size <= MAX_LINE:
                parts.append(line[1:])
                size += len(parts[-1])
            continue
        if parts:
            yield start, b"".join(parts), is_whole
        is_read = _may_be_read(line, names)
        start, is_whole, size = number, has_end, len(line)
        parts = [line if is_read else line[: line.index(b":") + 1]]
    if parts:
        yield start, b"".join(parts), is_whole


def _may_be_read(line: bytes, names: Mapping[str, str]) -> bool:
    """False only if the line begins a value that nobody uses."""
    described, colon, _ = line.partition(b":")
    found = _NAME.fullmatch(described)
    if not colon or found is None or line.startswith(b"#"):
        return True
    name = found[1].decode("ascii", "replace").lower()
    return not found[2] and (name in names or name in _STRUCTURE)


def _take_version(record: Record) -> bool:
    """Remove the version, which is there again where files are joined; False if it is not 1."""
    if record:
        name, colon, version = record[0][1].partition(b":")
        if colon and name.lower() == b"version":
            if version.strip() != b"1":
                return False
            del record[0]
    return True


def _entry(record: Record, names: Mapping[str, str]) -> Entry:
    values: dict[str, list[tuple[int, bytes]]] = {}
    for index, (number, line, is_whole) in enumerate(record):
        described, colon, _ = line.partition(b":")
        if not colon or _NAME.fullmatch(described) is None:
            raise _Broken(f"line {number} is not of the form attribute: value")
        name = described.decode("ascii", "replace").lower()
        if (name == "dn") != (index == 0):
            raise _Broken(
                "the entry does not begin with its dn"
                if index == 0
                else f"a second dn in line {number}: is a blank line missing before it?"
            )
        if name in ("changetype", "control"):
            raise _Broken("change records are not imported, only entries")
        if not is_whole:
            raise _Broken("the last line of the file has no line end: the file may be cut off")
        if name in names:
            values.setdefault(names[name], []).append((number, line))
    return Entry(record[0][0], values)


def _text(number: int, line: bytes) -> str:
    described, _, rest = line.partition(b":")
    name = described.decode("ascii").lower()
    if len(line) > MAX_LINE:
        raise BrokenValue(f"{name} in line {number} is too long")
    if rest.startswith(b"<"):
        raise BrokenValue(f"{name} in line {number} is given by a URL, which is not fetched")
    try:
        if rest.startswith(b":"):
            return b64decode(rest[1:].strip(b" "), validate=True).decode()
        return rest.lstrip(b" ").decode()
    except binascii.Error:
        raise BrokenValue(f"{name} in line {number} is not valid base64") from None
    except UnicodeDecodeError:
        raise BrokenValue(f"{name} in line {number} is not UTF-8 text") from None
