"""Reads LDIF content records (RFC 2849) line by line; a broken one does not stop the rest."""

import binascii
import re
from base64 import b64decode
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from msgspec import Struct

_NAME: Final = re.compile(rb"(?:[A-Za-z][A-Za-z0-9-]*|[0-9]+(?:\.[0-9]+)*)(?:;[A-Za-z0-9-]+)*")
_BOM: Final = b"\xef\xbb\xbf"
# What ldapsearch writes around its entries, unless it writes LDIF only.
_RESULT: Final = frozenset({b"search", b"result", b"ref"})

_Record = list[tuple[int, bytes]]


class Entry(Struct, frozen=True):
    """An entry and its first line; `values` has the requested attributes, in file order."""

    line: int
    values: Mapping[str, list[bytes]]

    def texts(self, name: str) -> list[str]:
        """The values of an attribute as text, trimmed, without empty and repeated ones.

        Raises `UnicodeDecodeError`.
        """
        texts = (value.decode().strip() for value in self.values.get(name, []))
        return list(dict.fromkeys(text for text in texts if text))


class BrokenEntry(Struct, frozen=True):
    """A record that is not a valid entry; the reason repeats nothing of it."""

    line: int
    reason: str


class UnknownVersion(Exception):
    """The file is not LDIF of version 1."""


class _Broken(Exception):
    """A line of a record is not valid."""


def read_ldif(lines: Iterable[bytes], names: Mapping[str, str]) -> Iterator[Entry | BrokenEntry]:
    """The entries of a file, or what is wrong with them.

    `names` maps the requested attributes, in lower case, to their names in the result. All other
    values are skipped: never decoded, stored or fetched. Attributes with options (`cn;lang-ja`)
    are skipped too. Raises `UnknownVersion`.
    """
    first = True
    for record in _records(lines):
        if first:
            first = False
            _take_version(record)
        if record and not _is_result(record):
            try:
                yield _entry(record, names)
            except _Broken as broken:
                yield BrokenEntry(record[0][0], str(broken))


def _records(lines: Iterable[bytes]) -> Iterator[_Record]:
    """The unfolded lines between blank ones, each with the number of its first line."""
    record: _Record = []
    for number, line in _unfolded(lines):
        if line:
            record.append((number, line))
        elif record:
            yield record
            record = []
    if record:
        yield record


def _unfolded(lines: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
    """Logical lines without comments; a line that begins with a space continues the last."""
    start, parts = 0, list[bytes]()
    for number, raw in enumerate(lines, 1):
        line = raw.rstrip(b"\r\n")
        if number == 1:
            line = line.removeprefix(_BOM)
        if line.startswith(b" ") and parts and parts[0]:
            parts.append(line[1:])
            continue
        yield from _joined(start, parts)
        start, parts = number, [line]
    yield from _joined(start, parts)


def _joined(start: int, parts: list[bytes]) -> Iterator[tuple[int, bytes]]:
    if parts and not parts[0].startswith(b"#"):
        yield start, b"".join(parts)


def _take_version(record: _Record) -> None:
    name, _, version = record[0][1].partition(b":")
    if name.lower() == b"version":
        if version.strip() != b"1":
            raise UnknownVersion
        del record[0]


def _is_result(record: _Record) -> bool:
    return record[0][1].partition(b":")[0] in _RESULT


def _entry(record: _Record, names: Mapping[str, str]) -> Entry:
    values: dict[str, list[bytes]] = {}
    for index, (number, line) in enumerate(record):
        described, colon, rest = line.partition(b":")
        if not colon or not _NAME.fullmatch(described):
            raise _Broken(f"line {number} is not of the form attribute: value")
        name = described.decode("ascii").lower()
        if (name == "dn") != (index == 0):
            raise _Broken(
                "the entry does not begin with its dn"
                if index == 0
                else f"a second dn in line {number}: is a blank line missing before it?"
            )
        if name in ("changetype", "control"):
            raise _Broken("change records are not imported, only entries")
        if name in names:
            values.setdefault(names[name], []).append(_value(name, number, rest))
    return Entry(record[0][0], values)


def _value(name: str, number: int, rest: bytes) -> bytes:
    if rest.startswith(b"<"):
        raise _Broken(f"{name} in line {number} is given by a URL, which is not fetched")
    if not rest.startswith(b":"):
        return rest.lstrip(b" ")
    try:
        return b64decode(rest[1:].strip(b" "), validate=True)
    except binascii.Error:
        raise _Broken(f"{name} in line {number} is not valid base64") from None
