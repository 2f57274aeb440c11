"""Folding of text for sorting and searching: the same for rows and queries."""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Final

import regex

from domain.text import without_ignorable

# An index entry of Postgres must fit a third of a page (2,704 bytes): 600 characters, an id, a role
# and a status always do. The longest address has 254.
_KEY_CHARACTERS: Final = 600
# A word of a tsvector holds 2 kB.
_WORD_CHARACTERS: Final = 128

# The default word boundaries of Unicode (UAX #29) for ASCII, which nearly all texts are: letters,
# digits and underscores, and a mark such as in `o'neil`, `ada.lovelace` and `3.14`.
_ASCII_WORD: Final = re.compile(
    r"[a-z0-9_]+(?:(?:(?<=[a-z])[.':](?=[a-z])|(?<=[0-9])[.',;](?=[0-9]))[a-z0-9_]+)*"
)
_ASCII_RUN: Final = re.compile(r"[a-z0-9_.':,;]+")
_DOTTED: Final = re.compile(r"[a-z]+(?:\.[a-z]+)+")
_ASCII_MARKS: Final = str.maketrans("':,;", "....")
_BOUNDARY: Final = regex.compile(r"\b", regex.WORD | regex.V1)
_LETTER_OR_DIGIT: Final = regex.compile(r"[\p{Alphabetic}\p{N}]")
# A mark inside a word: apostrophes and full stops of any shape.
_INNER_MARK: Final = regex.compile(r"[^\p{Alphabetic}\p{N}\p{M}_]")

# Combining classes of signs that spell a word: viramas, and vowels of Telugu, Thai, Lao and Tibetan.
_SPELLING: Final = frozenset({9, 84, 91, 103, 118, 129, 130, 132})


class _WithoutMarks(dict[int, int | None]):
    """Drops accents, points and tones, which the Unicode Collation Algorithm ignores at first, but no
    vowel signs.

    A table for `str.translate` that learns each character at its first use.
    """

    def __missing__(self, code: int) -> int | None:
        combining = unicodedata.combining(chr(code))
        self[code] = None if combining and combining not in _SPELLING else code
        return self[code]


_WITHOUT_MARKS: Final = _WithoutMarks()


def folded(text: str) -> str:
    """Without case, accents and invisible characters: `Ærø Straße` and `ÆRØ STRASSE` are the same."""
    if text.isascii():
        return text.lower()
    decomposed = unicodedata.normalize("NFKD", without_ignorable(text)).casefold()
    return without_ignorable(unicodedata.normalize("NFKD", decomposed)).translate(_WITHOUT_MARKS)


def sort_key(text: str | None) -> str:
    """The sort key, in the order of code points; empty text sorts first."""
    return folded(text)[:_KEY_CHARACTERS] if text else ""


def search_words(texts: Iterable[str | None]) -> list[str]:
    """The folded words of some texts, each once, by the default word boundaries of Unicode.

    Marks inside a word, such as apostrophes, are all written as full stops.
    """
    words = [word[:_WORD_CHARACTERS] for text in texts if text for word in _words(folded(text))]
    return list(dict.fromkeys(words))


def indexed_words(texts: Iterable[str | None]) -> list[str]:
    """The words to find some texts by: those of `search_words`, and the ends of a word after each of
    its inner marks, so that `neil` finds `o'neil` and `org` finds `example.org`.
    """
    found: dict[str, None] = {}
    for word in search_words(texts):
        found[word] = None
        if not word.isalnum():
            for mark in "._":
                begin = word.find(mark) + 1
                while begin:
                    if word[begin:].lstrip("_") == word[begin:] != "":
                        found[word[begin:]] = None
                    begin = word.find(mark, begin) + 1
    return list(found)


def _words(text: str) -> list[str]:
    if text.isascii():
        return _ascii_words(text)
    return [
        word if word.isalnum() else _INNER_MARK.sub(".", word)
        for word in _BOUNDARY.split(text)
        if word.isalnum() or _LETTER_OR_DIGIT.search(word)
    ]


def _ascii_words(text: str) -> list[str]:
    words: list[str] = []
    for run in _ASCII_RUN.findall(text):
        # Nearly all runs are one word.
        if run.isalnum() or _DOTTED.fullmatch(run):
            words.append(run)
        else:
            found = _ASCII_WORD.findall(run)
            words += [word.translate(_ASCII_MARKS) for word in found if word.strip("_")]
    return words


def marked_words(texts: Sequence[str | None]) -> list[str]:
    """The words of `indexed_words`, each after a mark that says which of the texts begin with it.

    A text begins with a word if its sort key does. A search for a word in the order of one text
    has two parts, and an index serves each: the rows whose key of that text begins with the word,
    and the rows that have the word with one of `marks` without that text. No word is stored twice.
    """
    marked = dict.fromkeys(indexed_words(texts), 0)
    bit = 1
    for text in texts:
        key = sort_key(text)
        for word in [word for word in marked if key.startswith(word)]:
            marked[word] |= bit
        bit <<= 1
    return [f"{mark}{word}" for word, mark in marked.items()]


def marks(texts: int, without: int | None = None) -> list[str]:
    """All marks of `marked_words` for this many texts (at most three). With `without`, only those
    of words that the text with this number does not begin with."""
    return [str(n) for n in range(1 << texts) if without is None or not n & 1 << without]
