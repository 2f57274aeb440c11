"""Which questions find which names, for many scripts."""

import pytest

from projections.folding import indexed_words, search_words
from tests.support.views.searches import SCRIPTS, WITHOUT_A_WORD, Case


def finds(question: str, name: str) -> bool:
    """As the index of words finds it."""
    words, asked = indexed_words([name]), search_words([question])
    return bool(asked) and all(any(word.startswith(one) for word in words) for one in asked)


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_question_finds_the_names_that_have_its_words(script: str) -> None:
    for case in SCRIPTS[script]:
        wrong = [asked for asked in case.finds if not finds(asked, case.name)]
        wrong += [asked for asked in case.misses if finds(asked, case.name)]
        assert wrong == [], case.name


def test_no_name_of_one_script_is_found_by_a_question_of_another() -> None:
    cases: list[tuple[str, Case]] = [(each, case) for each in SCRIPTS for case in SCRIPTS[each]]
    for script, case in cases:
        for other, asking in cases:
            if other != script and "Invisible" not in (other, script):
                assert not any(finds(asked, case.name) for asked in asking.finds), (other, script)


@pytest.mark.parametrize("question", WITHOUT_A_WORD)
def test_a_question_without_a_word_finds_nothing(question: str) -> None:
    assert search_words([question]) == []


def test_an_address_is_found_by_its_parts() -> None:
    words = indexed_words(["ada.lovelace-x@mail.example.org"])
    assert words == [
        "ada.lovelace",
        "lovelace",
        "x",
        "mail.example.org",
        "example.org",
        "org",
    ]


def test_ascii_has_the_same_words_as_in_a_longer_text() -> None:
    """The two ways to find words agree."""
    for text in (
        "a.b",
        "a..b",
        ".a",
        "a.",
        "a'b'c",
        "1.2",
        "1,2;3",
        "a,b",
        "a1.b2",
        "a.1",
        "_a._b",
        "a:b",
        "a-b",
        '1"2',
        "a_1.5_b",
    ):
        assert search_words([text]) == search_words([f"{text} é"])[:-1], text
