"""The search for personal data finds a word in every encoding that the tests rely on."""

import base64
import json
from urllib.parse import quote, quote_plus

import pytest

from tests.support.jobs.personal_data_search import Words, in_tables
from tests.support.views.directory import execute

WORDS = Words("Quasarhopper", "zo.ø@example.org")


def encoded(text: str) -> list[str]:
    data = text.encode()
    return [
        text,
        text.upper(),
        quote(text),
        quote_plus(text),
        json.dumps(text),
        json.dumps(json.dumps(text)),
        data.hex(),
        base64.b64encode(data).decode(),
        base64.urlsafe_b64encode(data).decode(),
        "\\x" + base64.b64encode(data).hex(),
    ]


@pytest.mark.parametrize("shift", range(4))
def test_a_word_is_found_in_every_encoding(shift: int) -> None:
    for text in encoded("x" * shift + "Ms Quasarhopper <zo.ø@example.org>"):
        assert WORDS.found_in(f"...({text})".encode()) == {"Quasarhopper", "zo.ø@example.org"}


def test_nothing_is_found_in_other_text() -> None:
    assert (
        WORDS.found_in(b"Quasar hopper, \\x00ff, zo@example.org, aGVsbG8gd29ybGQsIGhlbGxv") == set()
    )


async def test_tables_are_searched_with_their_samples(database_url: str) -> None:
    await execute(database_url, "CREATE SCHEMA other; CREATE TABLE other.t (n int, b bytea)")
    more = "INSERT INTO other.t SELECT n, convert_to('Quasarhopper' || n, 'UTF8') FROM generate_series(1, 9) n"
    await execute(database_url, more)
    await execute(database_url, "ANALYZE other.t")
    assert in_tables(database_url, WORDS) == {
        "other.t": {"Quasarhopper"},
        "pg_stats": {"Quasarhopper"},
    }
