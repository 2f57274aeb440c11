"""Names, docstrings, comments and docs use the field's words: these words of a private language fail."""

import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.support.repository import repository_files
from tests.support.servers.rollbook import ROOT

BANNED: Final = re.compile(
    r"\b(?:whoever|whosoever|anew|(?:came|comes|come) of|lets? go|mend(?:s|ed|ing)?|keepers?"
    r"|heed(?:s|ed|ing)?|tellers?|leash|hang(?:s|ing)? up|strangers?|patience|patiently"
    r"|but for|of several)\b",
    re.IGNORECASE,
)
BANNED_IN_NAMES: Final = frozenset(
    [
        "whoever",
        "anew",
        "mend",
        "mends",
        "mended",
        "mending",
        "keeper",
        "heed",
        "teller",
        "care",
        "caring",
        "leash",
        "stranger",
        "patience",
        "patiently",
        "succession",
        "standings",
    ]
)
CONDITION: Final = re.compile(r"(?:^|[.:;]\s+|\n\s*[-*]\s+)(?:Who|Where|Of several)\s(?![^.?!]*\?)")
# To take a file apart into tokens takes long, and few files hold any of these letters.
SUSPICIOUS: Final = re.compile("|".join(BANNED_IN_NAMES) + "|most(?-i:_|[A-Z])", re.IGNORECASE)
NAME_PARTS: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")


def files(pattern: str) -> list[Path]:
    return [path for path in repository_files(pattern) if path != Path(__file__)]


def banned_words(path: Path, text: str) -> Iterator[str]:
    """Each banned word in the comments, the docstrings and the names of a Python file."""
    before = tokenize.NEWLINE
    if not (BANNED.search(text) or SUSPICIOUS.search(text)):
        return
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        place = f"{path.relative_to(ROOT)}:{token.start[0]}"
        is_docstring = token.type == tokenize.STRING and before in _BEGINS_A_STATEMENT
        if token.type == tokenize.COMMENT or is_docstring:
            found = BANNED.finditer(token.string)
            yield from (f"{place}: {match[0]!r}" for match in found)
        elif token.type == tokenize.NAME:
            yield from (f"{place}: {word!r}" for word in banned_name(token.string))
        if token.type not in (tokenize.NL, tokenize.COMMENT):
            before = token.type


_BEGINS_A_STATEMENT: Final = frozenset(
    (tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENCODING)
)


def banned_name(name: str) -> list[str]:
    """The banned words in a name; `max_events`, not `most_events`, names a limit."""
    parts = [part.lower() for part in NAME_PARTS.findall(name)]
    if parts[:1] == ["most"] and len(parts) > 1:
        return ["most"]
    return [part for part in parts if part in BANNED_IN_NAMES]


def test_no_python_file_has_a_banned_word() -> None:
    assert [found for path in files("*.py") for found in banned_words(path, path.read_text())] == []


def test_a_banned_word_in_a_python_file_is_found() -> None:
    path = ROOT / "tests" / "most_events.py"
    text = '"""For whoever reads."""\nmost_events = MendedUsers  # came of it\nalmost = "anew"\n'
    found = [word.rpartition(": ")[2] for word in banned_words(path, text)]
    assert found == ["'whoever'", "'most'", "'mended'", "'came of'"]


def test_no_document_has_a_banned_word() -> None:
    found = [
        f"{path.relative_to(ROOT)}: {match[0]!r}"
        for path in files("*.md")
        for match in BANNED.finditer(path.read_text())
    ]
    assert found == []


def test_no_sentence_of_a_document_begins_with_a_relative_clause() -> None:
    found = [
        f"{path.relative_to(ROOT)}: {match[0].strip()!r}"
        for path in files("*.md")
        for match in CONDITION.finditer(path.read_text())
    ]
    assert found == []


def test_the_glossary_has_at_most_thirty_terms() -> None:
    rows = re.findall(r"^\| ", (ROOT / "docs/glossary.md").read_text(), re.MULTILINE)
    assert 20 <= len(rows) - 1 <= 30


@pytest.mark.parametrize(
    ("name", "banned"),
    [
        ("MendedUsers", ["mended"]),
        ("most_events", ["most"]),
        ("MOST_BYTES", ["most"]),
        ("projection_care", ["care"]),
        ("max_events", []),
        ("almost", []),
        ("careful", []),
    ],
)
def test_names_are_taken_apart(name: str, banned: list[str]) -> None:
    assert banned_name(name) == banned
