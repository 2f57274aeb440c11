"""How text is folded for sorting and searching: the same for a row and for a query."""

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
    """Without case and without accents: `Ærø Straße` and `ÆRØ STRASSE` fold to the same."""
    if text.isascii():
        return text.lower()
    decomposed = unicodedata.normalize("NFKD", text).casefold()
    return unicodedata.normalize("NFKD", decomposed).translate(_WITHOUT_MARKS)


def sort_key(text: str | None) -> str:
    """The key to sort by, in the order of code points; nothing sorts first."""
    return folded(text)[:_KEY_CHARACTERS] if text else ""


def search_words(texts: Iterable[str | None]) -> list[str]:
    """The folded words of some texts, each once: runs of letters and digits."""
    found = _WORD.findall(folded(" ".join(filter(None, texts))))
    return list(dict.fromkeys([word[:_WORD_CHARACTERS] for word in found]))


def marked_words(texts: Sequence[str | None]) -> list[str]:
    """The words of `search_words`, each behind one of the `marks`, by which texts begin with it.

    A text begins with a word where its sort key does. So whoever is sought by a word, in the order
    of a text, lies where that text's keys begin with it, or has it with a mark of `marks` without
    that text: an index finds either, and no word is kept twice.
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
    """What `marked_words` of at most three texts puts before words, or before those that the text
    with the number `without` does not begin with."""
    return [str(n) for n in range(1 << texts) if without is None or not n & 1 << without]
