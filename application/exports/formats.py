"""Rows of exports as text: CSV that no spreadsheet takes for formulas, and NDJSON."""

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

# What a spreadsheet may begin a formula with, also behind white space and in full width (OWASP, "CSV
# Injection"). An apostrophe of the value's own gets another, so that one can always be taken away.
_FORMULA: Final = re.compile(r"[\s\u200b\u2060\ufeff]*[=+\-@＝＋－＠]|[\t\r\n']")

_encode = msgspec.json.Encoder().encode


def head(what: What, form: Format) -> bytes:
    """What comes before all rows: the names of the columns, in CSV."""
    return _lines([COLUMNS[what]]) if form == "csv" else b""


def text(what: What, form: Format, rows: Sequence[Row]) -> bytes:
    """Some rows: CSV of RFC 4180 with CRLF, or a JSON value a line, the same as the API shows."""
    if form == "ndjson":
        return b"".join(_encode(row) + b"\n" for row in rows)
    columns = COLUMNS[what]
    shown: list[dict[str, Any]] = [msgspec.to_builtins(row) for row in rows]
    return _lines([[_cell(row.get(column)) for column in columns] for row in shown])


def defused(value: str) -> str:
    """A text behind an apostrophe where it might be a formula; `restored` takes it away again."""
    return f"'{value}" if _FORMULA.match(value) else value


def restored(cell: str) -> str:
    """The text that `defused` made this of."""
    return cell.removeprefix("'")


def _cell(value: object) -> str:
    """Nothing for null, JSON for what has parts."""
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
