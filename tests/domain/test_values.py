"""Names, external ids, roles and reasons: which texts are accepted, normalized or refused."""

import unicodedata
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import InvalidValue
from domain.values import EmailAddress, ExternalId, PersonName, Role, parse_reason

PARSERS: list[Callable[[str], object]] = [
    PersonName.parse,
    EmailAddress.parse,
    ExternalId.parse,
    Role.parse,
    parse_reason,
]


@pytest.mark.parametrize(
    "name",
    [
        "Åsa",
        "Łukasz Żółć",
        "李雷",
        "Ó Súilleabháin",
        "D'Arcy-O\u2019Neil, Jr.",
        "محمد رضا\u200cزاده",
        "ක්\u200dරිෂ්",
        "X Æ A-12",
        "👩\u200d🚀",
        "☺\ufe0f",
        "葛\U000e0100城",
        "ᄀ\u1160",
        "김\u3164",
        "x" * 200,
    ],
)
def test_a_name_is_accepted_unchanged(name: str):
    assert PersonName.parse(name).text == name


def test_a_name_is_trimmed_and_composed():
    assert PersonName.parse(" \u3000Zoe\u0308\n").text == "Zoë"
    assert PersonName.parse("e\u0301" * 200).text == "é" * 200


@pytest.mark.parametrize(
    "name",
    [
        "",
        " \t ",
        "\u200d",
        "\u200c \u200d",
        "\u3164",
        "\uffa0\u115f \u1160",
        "\u2800",
        "\ufe0f\U000e0100",
        "\u034f",
        "\u17b4\u17b5",
        "\u180b",
        "\U0001d159",
        "\U00013441",
        "\u00a0\u3000",
        "x" * 201,
        "a" + "\u0301\u0323" * 250_000,
        "a\0b",
        "a\nb",
        "a\tb",
        "a\x7fb",
        "a\x85b",
        "a\u2028b",
        "evil\u202etxt",
        "a\u2066b",
        "a\u200bb",
        "\ufeffa",
        "a\ud800b",
    ],
)
def test_a_name_that_is_empty_too_long_or_deceptive_is_refused(name: str):
    with pytest.raises(InvalidValue):
        PersonName.parse(name)


@given(st.text(max_size=220))
def test_parsing_a_name_is_idempotent(raw: str):
    try:
        name = PersonName.parse(raw)
    except InvalidValue:
        return
    assert PersonName.parse(name.text) == name
    assert PersonName.parse(unicodedata.normalize("NFD", name.text)) == name
    assert 1 <= len(name.text) <= 200


@pytest.mark.parametrize("external_id", ["7", " 7 ", "Łódź/7", "x" * 255])
def test_an_external_id_is_accepted_unchanged(external_id: str):
    assert ExternalId.parse(external_id).text == external_id


@pytest.mark.parametrize("external_id", ["", "x" * 256, "a\0b", "a\nb", "a\x9fb", "a\udfffb"])
def test_an_external_id_that_is_empty_too_long_or_broken_is_refused(external_id: str):
    with pytest.raises(InvalidValue):
        ExternalId.parse(external_id)


@pytest.mark.parametrize("role", ["a", "member", "team-lead_2", "a" * 32])
def test_a_role_is_a_slug(role: str):
    assert Role.parse(role).text == role


@pytest.mark.parametrize("role", ["", "Member", "2nd", "-a", "a b", "a\n", "ä", "a٣", "a" * 33])
def test_a_role_that_is_no_slug_is_refused(role: str):
    with pytest.raises(InvalidValue):
        Role.parse(role)


def test_a_reason_may_have_lines_and_a_blank_one_is_none():
    assert parse_reason(" left\r\nthe\tfirm ") == "left\nthe\tfirm"
    assert parse_reason(" \n ") is None
    assert parse_reason(None) is None


@pytest.mark.parametrize("reason", ["x" * 501, "a\0b", "a\x1bb", "a\rb", "a\u202eb", "a\ud800b"])
def test_a_reason_that_is_too_long_or_broken_is_refused(reason: str):
    with pytest.raises(InvalidValue):
        parse_reason(reason)


@pytest.mark.parametrize("parse", PARSERS)
@pytest.mark.parametrize("raw", ["ŧøþ\0" * 100, "ŧøþ\0", "ŧøþ\ud800", "ŧøþ" * 1000])
def test_a_refusal_does_not_contain_the_value(parse: Callable[[str], object], raw: str):
    with pytest.raises(InvalidValue) as refusal:
        parse(raw)
    assert not set("ŧøþ") & set(refusal.value.reason)
