"""Case and accents are folded in the same way for rows and queries."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from projections.folding import (
    folded,
    indexed_words,
    marked_words,
    marks,
    search_words,
    sort_key,
)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("ZOË", "zoe"),
        ("İstanbul", "istanbul"),
        ("Straße", "strasse"),
        ("ﬁn Ⅻ", "fin xii"),
        ("हिन्दी", "हिन्दी"),
        ("สุดา", "สุดา"),
        ("ज़ाकिर", "जाकिर"),
        ("J\u00ado\ufe0fhn", "john"),
        ("", ""),
    ],
)
def test_case_and_accents_do_not_count(text: str, key: str) -> None:
    assert sort_key(text) == key


def test_no_text_sorts_first() -> None:
    assert sort_key(None) < sort_key("a")


@given(st.text())
def test_folding_twice_is_folding_once(text: str) -> None:
    assert folded(folded(text)) == folded(text)


@given(st.text(max_size=300))
def test_a_key_fits_into_an_index_and_a_word_into_a_tsvector(text: str) -> None:
    assert len(sort_key("\ufdfa" * 200).encode()) <= 2704
    assert len(sort_key(text)) <= 600
    assert all(0 < len(word.encode()) < 2046 for word in search_words([text]))


def test_words_are_distinct_and_have_the_boundaries_of_unicode() -> None:
    words = search_words(["Anna-Lena O'Neil", None, "anna_l2@x.org"])
    assert words == ["anna", "lena", "o.neil", "anna_l2", "x.org"]


def test_a_word_is_marked_by_the_texts_that_begin_with_it() -> None:
    words = marked_words(["Ann Bo", "ann.dag@bo.org"])
    assert words == ["3ann", "0bo", "2ann.dag", "0dag", "0bo.org", "0org"]
    assert marked_words(["Bo", "bo@x"]) == ["3bo", "0x"]
    assert marked_words(["Bo", None]) == ["1bo"]
    assert marked_words([None, "bo"]) == ["2bo"]


NAMES = st.text(alphabet="aAbé .-(", max_size=8)


@given(NAMES, NAMES, st.text(alphabet="ab", min_size=1, max_size=3), st.sampled_from([0, 1]))
def test_marks_find_a_word_also_outside_the_beginning_of_a_text(
    name: str, email: str, prefix: str, text: int
) -> None:
    def found(allowed: list[str]) -> bool:
        marked = marked_words([name, email])
        return any(word.startswith(mark + prefix) for word in marked for mark in allowed)

    has_it = any(word.startswith(prefix) for word in indexed_words([name, email]))
    assert found(marks(2)) == has_it
    begins = sort_key([name, email][text]).startswith(prefix)
    assert (begins or found(marks(2, without=text))) == has_it
