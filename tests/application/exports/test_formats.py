"""Exports as text: every value can be restored, and no cell is a formula in a spreadsheet."""

import csv
import io
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from application.exports.formats import COLUMNS, defused, head, restored, text
from application.queries.resources import User
from application.timestamps import timestamp

STARTS = "=+-@|%＝＋－＠｜％﹦﹢﹣﹫﹪⁼₊−"
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
HOSTILE = st.builds(
    "{}{}{}".format,
    st.text(" \t\r\n\u00a0\u00ad\u200c\u2061", max_size=3),
    st.sampled_from(STARTS),
    TEXTS,
)


def user(**fields: Any) -> User:
    now = timestamp(datetime(2026, 3, 1, 9, 30, tzinfo=UTC))
    plain: dict[str, Any] = {
        "id": "018f0000-0000-7000-8000-000000000001",
        "external_id": None,
        "name": "Ada",
        "email": "ada@example.org",
        "role": "member",
        "status": "active",
        "attributes": {},
        "version": 1,
        "created_at": now,
        "updated_at": now,
        "personal": "open",
    }
    return User(**{**plain, **fields})


@given(st.one_of(TEXTS, HOSTILE))
def test_csv_gives_each_value_back(value: str) -> None:
    row = user(name=value, external_id=value or None, attributes={"x": value, value: [1, None]})
    file = (head("users", "csv") + text("users", "csv", [row, row])).decode()
    for cells in (rows := list(csv.DictReader(io.StringIO(file, newline="")))):
        assert restored(cells["name"]) == value
        assert restored(cells["external_id"]) == value
        assert json.loads(restored(cells["attributes"])) == row.attributes
    assert len(rows) == 2


@given(HOSTILE)
def test_no_cell_begins_like_a_formula(value: str) -> None:
    cell = defused(value)
    assert cell == f"'{value}"
    assert restored(cell) == value


@pytest.mark.parametrize(
    "value", ["", "Ada", "1-2", "a=b", "50%", "a|b", "ada@example.org", "{}", "Ö", " a"]
)
def test_text_that_is_no_formula_stays_unchanged(value: str) -> None:
    assert defused(value) == value


@pytest.mark.parametrize(
    "value", ["'", "''=1", "'tis", "\tx", "\rx", "\nx", "\ufeff=1", "\u200b+1"]
)
def test_text_that_begins_with_an_apostrophe_or_control_is_escaped_too(value: str) -> None:
    assert defused(value) == f"'{value}"


def test_csv_lines_end_with_crlf_and_null_is_an_empty_cell() -> None:
    lines = text("users", "csv", [user(attributes=None, name=None)]).decode().split("\r\n")
    assert lines[1:] == [""]
    assert lines[0].startswith("018f0000-0000-7000-8000-000000000001,,,ada@example.org,member,")
    assert head("users", "csv").decode() == ",".join(COLUMNS["users"]) + "\r\n"
    assert head("users", "ndjson") == b""


@given(TEXTS)
def test_ndjson_has_one_line_for_each_row(value: str) -> None:
    lines = text("users", "ndjson", [user(name=value), user()]).decode().split("\n")
    assert lines[2:] == [""]
    assert json.loads(lines[0])["name"] == value
