"""Folding of text for sorting and searching: the same for rows and queries."""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Final

# An index entry of Postgres must fit a third of a page (2.7 kB): 200 characters always do.
_KEY_CHARACTERS: Final = 200
# A word of a tsvector holds 2 kB.
_WORD_CHARACTERS: Final = 64
_WORD: Final = re.compile(r"[^\W_]+")


class _WithoutMarks(dict[int, int | None]):
    """Drops accents, but no vowel signs: those of Indic scripts have no combining class.

    A table for `str.translate` that learns each character at its first use.
    """

    def __missing__(self, code: int) -> int | None:
        self[code] = None if unicodedata.combining(chr(code)) else code
        return self[code]


_WITHOUT_MARKS: Final = _WithoutMarks()


def folded(text: str) -> str:
    """Without case and accents: `Ærø Straße` and `ÆRØ STRASSE` fold to the same text."""
    if text.isascii():
        return text.lower()
    decomposed = unicodedata.normalize("NFKD", text).casefold()
    return unicodedata.normalize("NFKD", decomposed).translate(_WITHOUT_MARKS)


def sort_key(text: str | None) -> str:
    """The sort key, in the order of code points; empty text sorts first."""
    return folded(text)[:_KEY_CHARACTERS] if text else ""


def search_words(texts: Iterable[str | None]) -> list[str]:
    """The folded words of some texts, each once: runs of letters and digits."""
    found = _WORD.findall(folded(" ".join(filter(None, texts))))
    return list(dict.fromkeys([word[:_WORD_CHARACTERS] for word in found]))


def marked_words(texts: Sequence[str | None]) -> list[str]:
    """The words of `search_words`, each after a mark that says which of the texts begin with it.

    A text begins with a word if its sort key does. A search for a word in the order of one text
    has two parts, and an index serves each: the rows whose key of that text begins with the word,
    and the rows that have the word with one of `marks` without that text. No word is stored twice.
    """
    marked = dict.fromkeys(search_words(texts), 0)
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
