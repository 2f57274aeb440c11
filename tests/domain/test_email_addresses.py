"""Valid e-mail addresses, and spellings of the same address."""

import unicodedata

import pytest
from email_validator import EmailNotValidError, validate_email
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from domain.email import comparable_address
from domain.errors import InvalidValue
from domain.values import EmailAddress

SPELLINGS = [
    ("zoe@example.com", "ZOE@EXAMPLE.COM"),
    ("zoe@example.com", "ｚｏｅ@example.com"),
    ("zoe@example.com", "zoe@ｅｘａｍｐｌｅ．com"),
    ("zoë@example.com", "zoe\u0308@example.com"),
    ("åsa@exämple.com", "ÅSA@XN--EXMPLE-CUA.com"),
    ("åsa@exämple.com", "a\u030asa@exa\u0308mple.com"),
    ("straße@example.com", "STRASSE@example.com"),
    ("finn@example.com", "ﬁnn@example.com"),
    ("李雷@例え.テスト.com", "李雷@例え。テスト。com"),
]

domains = st.sampled_from(["example.com", "exämple.com", "例え.example.org", "EXAMPLE.net"])
locals_ = st.text(
    st.characters(exclude_categories=["C", "Z"], exclude_characters='@"<'), min_size=1, max_size=20
)
addresses = st.builds("{}@{}".format, locals_, domains)


@pytest.mark.parametrize(("one", "other"), SPELLINGS)
def test_two_spellings_of_one_address_are_equal(one: str, other: str):
    assert EmailAddress.parse(one).comparable == EmailAddress.parse(other).comparable


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("zoe@example.com", "zoe@example.org"),
        ("zoe@example.com", "zoë@example.com"),
        ("zoe@example.com", "z.oe@example.com"),
        ("zoe@example.com", "zoe+tag@example.com"),
        ("zoe@strasse.de", "zoe@straße.de"),
    ],
)
def test_different_addresses_stay_different(one: str, other: str):
    assert EmailAddress.parse(one).comparable != EmailAddress.parse(other).comparable


def test_an_address_keeps_its_spelling_but_is_trimmed_and_composed():
    assert EmailAddress.parse(" Zoe\u0308@Example.COM\n").text == "Zoë@Example.COM"


@settings(max_examples=300, deadline=None)
@given(addresses)
@example("ΐ@example.com")
@example("ǰ\u0323@example.com")
@example("ͅ\u0391@example.com")
def test_parsing_is_idempotent_and_spellings_share_one_form(raw: str):
    address = _parsed(raw)
    assert EmailAddress.parse(address.text) == address
    for spelling in (
        address.comparable,
        address.text.casefold(),
        unicodedata.normalize("NFD", address.text),
        unicodedata.normalize("NFKC", address.text),
    ):
        assert EmailAddress.parse(spelling).comparable == address.comparable
    assert unicodedata.is_normalized("NFKC", address.comparable)
    assert comparable_address(address.comparable) == address.comparable


@settings(max_examples=1000, deadline=None)
@given(
    st.text("aB0.-_+'\"@ é", min_size=1, max_size=80),
    st.text("aB0.-_n@ é", min_size=1, max_size=8) | st.sampled_from(["xn--", "a" * 63, "test"]),
    st.sampled_from(["", ".com", ".test", ".xn--p1ai", ".XN--a", ".1", "..com", ".com."]),
)
@example("a", "b" * 63, ".com")
@example("a" * 80, "b" * 63 + "." + "c" * 63 + "." + "d" * 63, ".com")
def test_an_address_is_valid_if_the_library_accepts_it(local: str, host: str, top: str):
    raw = f"{local}@{host}{top}".strip()
    try:
        validate_email(raw, check_deliverability=False, allow_smtputf8=True)
        expected = True
    except EmailNotValidError:
        expected = False
    try:
        EmailAddress.parse(raw)
        accepted = True
    except InvalidValue:
        accepted = False
    assert accepted is (expected and len(raw) <= 254)


@given(st.text() | addresses)
def test_any_text_has_a_comparable_form(text: str):
    form = comparable_address(text)
    assert comparable_address(form) == form


@pytest.mark.parametrize(
    "raw",
    [
        "",
        "@",
        "secret",
        "secret@",
        "@secret.example.com",
        "secret@localhost",
        "secret@secret.test",
        "secret@secret.invalid",
        "secret@[127.0.0.1]",
        "secret@[IPv6:::1]",
        '"secret secret"@example.com',
        "Secret <secret@example.com>",
        "secret@secret_host.com",
        "secret@secret..com",
        "sec\u202eret@example.com",
        "sec\0ret@example.com",
        "sec\ud800ret@example.com",
        "secret@\ud800.com",
        "secret@xn--secret-.com",
        "sec＠ret@example.com",
        "sec…ret@example.com",
        "secret" * 42 + "@example.com",
        "secret@" + "ä" * 70 + ".com",
        "é" * 130 + "@example.com",
        "a" + "\u0301\u0323" * 250_000 + "secret@example.com",
    ],
)
def test_an_invalid_address_is_refused_without_its_text(raw: str):
    with pytest.raises(InvalidValue) as refusal:
        EmailAddress.parse(raw)
    assert "secret" not in refusal.value.reason.lower()
    assert refusal.value.reason.endswith(".")


@given(st.text("ŧøþ", min_size=8), st.text(), st.text(max_size=10))
def test_a_refusal_does_not_contain_the_value(secret: str, middle: str, end: str):
    with pytest.raises(InvalidValue) as refusal:
        EmailAddress.parse(secret + middle + "\0" + end)
    assert not set("ŧøþ") & set(refusal.value.reason)


def _parsed(raw: str) -> EmailAddress:
    try:
        return EmailAddress.parse(raw)
    except InvalidValue:
        assume(False)
        raise


@pytest.mark.parametrize(
    "invisible",
    [
        "\u115f",
        "\u1160",
        "\u3164",
        "\uffa0",
        "\u034f",
        "\ufe0f",
        "\U000e0100",
        "\u17b4",
        "\u180b",
        "\u2800",
    ],
)
@pytest.mark.parametrize("place", ["pay{}@example.org", "{}pay@example.org", "p{}ay@exämple.org"])
def test_an_invisible_character_makes_no_second_account(invisible: str, place: str):
    with pytest.raises(InvalidValue):
        EmailAddress.parse(place.format(invisible))
    # One that was stored by an earlier release can be looked up and compared.
    assert comparable_address(place.format(invisible))


@pytest.mark.parametrize("invisible", ["\u00ad", "\u200b", "\u2060", "\ufe00", "\u034f", "\u3164"])
def test_a_domain_has_no_invisible_characters(invisible: str):
    with pytest.raises(InvalidValue):
        EmailAddress.parse(f"pay@exam{invisible}ple.org")
