"""Reading LDIF: the examples of RFC 2849, and files as they are in practice."""

from base64 import b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interfaces.cli.ldif_import.ldif import BrokenEntry, Entry, UnknownVersion, read_ldif

NAMES = {"cn": "cn", "commonname": "cn", "mail": "mail", "description": "description"}


def read(text: str | bytes) -> list[Entry | BrokenEntry]:
    raw = text.encode() if isinstance(text, str) else text
    return list(read_ldif(raw.splitlines(keepends=True), NAMES))


def only(text: str | bytes) -> Entry:
    (entry,) = read(text)
    assert isinstance(entry, Entry)
    return entry


def broken(text: str | bytes) -> str:
    (entry,) = read(text)
    assert isinstance(entry, BrokenEntry)
    return entry.reason


def test_entries_have_the_line_they_begin_at_and_all_values_in_order():
    entries = read(
        "version: 1\n"
        "dn: cn=Barbara Jensen, ou=Product Development, dc=airius, dc=com\n"
        "objectclass: top\n"
        "cn: Barbara Jensen\n"
        "CN: Barbara J Jensen\n"
        "commonName:Babs Jensen\n"
        "\n"
        "\n"
        "# the next one\n"
        "dn: cn=Bjorn Jensen, ou=Accounting, dc=airius, dc=com\n"
        "cn: Bjorn Jensen\n"
    )
    assert entries == [
        Entry(2, {"cn": [b"Barbara Jensen", b"Barbara J Jensen", b"Babs Jensen"]}),
        Entry(10, {"cn": [b"Bjorn Jensen"]}),
    ]


def test_folded_lines_are_joined_without_the_one_space():
    entry = only(
        "dn: cn=a\ndescription:Babs is a big sailing fan, and travels e\n xtensively\n  .\n"
    )
    assert entry.texts("description") == ["Babs is a big sailing fan, and travels extensively ."]


def test_a_name_and_a_base64_value_may_be_folded_too():
    assert only("dn: cn=a\nc\n n:: w4VzYSBMaW5k\n c3Ryw7Zt\n").texts("cn") == ["Åsa Lindström"]


def test_a_comment_includes_its_folded_lines():
    entry = only(
        "dn: cn=a\n# mail: one@example.com\n mail: two@example.com\nmail: three@example.com\n"
    )
    assert entry.texts("mail") == ["three@example.com"]


def test_lines_may_end_as_on_windows_and_the_file_begin_with_a_byte_order_mark():
    assert only(b"\xef\xbb\xbfversion: 1\r\ndn: cn=a\r\ncn: A\r\n B\r\n\r\n").texts("cn") == ["AB"]


def test_text_that_should_have_been_base64_is_read_as_utf8():
    assert only("dn: cn=a\ncn: Åsa\n").texts("cn") == ["Åsa"]


def test_binary_values_stay_bytes_and_are_no_text():
    entry = only("dn: cn=a\ncn:: //4AQg==\n")
    assert entry.values == {"cn": [b"\xff\xfe\x00B"]}
    with pytest.raises(UnicodeDecodeError):
        entry.texts("cn")


def test_texts_are_trimmed_and_empty_or_repeated_ones_left_out():
    assert only("dn: cn=a\nmail:\nmail:  a@example.com \nmail: a@example.com\n").texts("mail") == [
        "a@example.com"
    ]


def test_attributes_that_were_not_requested_are_neither_stored_nor_decoded():
    entry = only(
        "dn: cn=a\ncn: A\nuserPassword:: *** no base64 ***\nuserPassword: {SSHA}c2VjcmV0\n"
        "jpegPhoto:< file:///etc/passwd\ncn;lang-ja:: ***\n"
    )
    assert entry.values == {"cn": [b"A"]}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("cn: A\n", "the entry does not begin with its dn"),
        ("dn: cn=a\nno colon here\n", "line 2 is not of the form attribute: value"),
        ("dn: cn=a\nnot a name: A\n", "line 2 is not of the form attribute: value"),
        ("dn: cn=a\n: A\n", "line 2 is not of the form attribute: value"),
        (" folded from nothing\n", "line 1 is not of the form attribute: value"),
        (
            "dn: cn=a\ncn: A\ndn: cn=b\n",
            "a second dn in line 3: is a blank line missing before it?",
        ),
        ("dn: cn=a\ncn:: w4V*\n", "cn in line 2 is not valid base64"),
        ("dn: cn=a\ncn:: w4VzY\n", "cn in line 2 is not valid base64"),
        ("dn: cn=a\nmail:< file:///a\n", "mail in line 2 is given by a URL, which is not fetched"),
        ("dn: cn=a\nchangetype: modify\n", "change records are not imported, only entries"),
        ("dn: cn=a\ncontrol: 1.2.3 true\n", "change records are not imported, only entries"),
    ],
)
def test_a_broken_entry_has_a_reason_and_reading_continues(text: str, reason: str):
    assert broken(text) == reason
    *_, last = read(f"{text}\ndn: cn=z\ncn: Z\n")
    assert isinstance(last, Entry)
    assert last.texts("cn") == ["Z"]


def test_a_blank_line_ends_an_entry_though_a_folded_one_follows():
    entry, rest = read("dn: cn=a\ncn: A\n\n dn: cn=b\n")
    assert isinstance(entry, Entry)
    assert rest == BrokenEntry(4, "line 4 is not of the form attribute: value")


def test_a_change_record_is_skipped_as_a_whole():
    text = (
        "dn: cn=a\nchangetype: modify\nreplace: cn\ncn: B\n-\nadd: mail\nmail: b@example.com\n-\n"
    )
    assert broken(text) == "change records are not imported, only entries"


def test_text_that_ldapsearch_adds_around_entries_is_no_entry():
    text = (
        "# extended LDIF\n#\n\ndn: cn=a\ncn: A\n\n# search result\nsearch: 2\nresult: 0 Success\n"
    )
    assert only(text).texts("cn") == ["A"]


@pytest.mark.parametrize("text", ["version: 2\n\ndn: cn=a\n", "# a comment\nVersion: one\n"])
def test_a_file_of_another_version_is_not_read(text: str):
    with pytest.raises(UnknownVersion):
        read(text)


@pytest.mark.parametrize("text", ["", "\n\n", "# nothing\n", "version: 1\n"])
def test_a_file_without_entries_has_none(text: str):
    assert read(text) == []


@given(
    values=st.lists(st.binary(max_size=60), min_size=1, max_size=4),
    width=st.integers(1, 80),
    end=st.sampled_from([b"\n", b"\r\n"]),
)
def test_all_written_values_are_read_back(values: list[bytes], width: int, end: bytes):
    lines = [b"dn: cn=a"] + [b"cn:: " + b64encode(value) for value in values]
    folded = end.join(
        (end + b" ").join(line[at : at + width] for at in range(0, len(line), width))
        for line in lines
    )
    assert only(folded).values == {"cn": values}


@given(st.binary(max_size=300))
def test_any_bytes_are_read_as_entries_or_broken_entries(raw: bytes):
    try:
        entries = read(raw)
    except UnknownVersion:
        return
    assert all(entry.line >= 1 for entry in entries)
