"""Rows of exports as text: NDJSON, and CSV that no spreadsheet reads as formulas."""

import csv
import io
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from application.audit.items import AuditItem
from application.exports.requests import Format, What
from application.exports.rows import Row
from application.queries.resources import User

COLUMNS: Final[Mapping[What, tuple[str, ...]]] = {
    "users": User.__struct_encode_fields__,
    "audit": AuditItem.__struct_encode_fields__,
}
MEDIA_TYPES: Final[Mapping[Format, str]] = {
    "csv": "text/csv; charset=utf-8; header=present",
    "ndjson": "application/x-ndjson",
}

# The beginning of a formula or of a command (OWASP, "CSV Injection"), also after white space or
# invisible characters, and in each width and size that a program may read as the plain character.
# A value that begins with an apostrophe gets another one, so that `restored` can always remove one.
_INVISIBLE: Final = r"\s\u00ad\u200b-\u200f\u2060-\u2064\ufeff"
_FORMULA: Final = re.compile(rf"[{_INVISIBLE}]*[=+\-@|%＝＋－＠｜％﹦﹢﹣﹫﹪⁼⁺⁻₌₊₋−]|[\t\r\n']")

_encode = msgspec.json.Encoder().encode


def head(what: What, file_format: Format) -> bytes:
    """The bytes before all rows: in CSV the column names."""
    return _lines([COLUMNS[what]]) if file_format == "csv" else b""


def text(what: What, file_format: Format, rows: Sequence[Row]) -> bytes:
    """Some rows: CSV of RFC 4180 with CRLF, or one JSON value per line, as the API returns it."""
    if file_format == "ndjson":
        return b"".join(_encode(row) + b"\n" for row in rows)
    columns = COLUMNS[what]
    shown: list[dict[str, Any]] = [msgspec.to_builtins(row) for row in rows]
    return _lines([[_cell(row.get(column)) for column in columns] for row in shown])


def defused(value: str) -> str:
    """The text, after an apostrophe if it might be a formula; `restored` removes that."""
    return f"'{value}" if _FORMULA.match(value) else value


def restored(cell: str) -> str:
    """The text before `defused`."""
    return cell.removeprefix("'")


def _cell(value: object) -> str:
    """An empty cell for null, JSON for objects and lists."""
    match value:
        case None:
            return ""
        case str():
            return defused(value)
        case int():
            return str(value)
        case _:
            return defused(_encode(value).decode())


def _lines(rows: Sequence[Sequence[str]]) -> bytes:
    lines = io.StringIO(newline="")
    csv.writer(lines).writerows(rows)
    return lines.getvalue().encode()
