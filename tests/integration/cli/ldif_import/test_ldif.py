"""Reading LDIF: the examples of RFC 2849, and entries as they are in practice."""

import itertools
import tracemalloc
from base64 import b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interfaces.cli.ldif_import.ldif import (
    BrokenEntry,
    BrokenValue,
    Entry,
    FileProblem,
    read_ldif,
)

NAMES = {"cn": "cn", "commonname": "cn", "mail": "mail", "description": "description"}


def read(text: str | bytes) -> list[Entry | BrokenEntry | FileProblem]:
    raw = text.encode() if isinstance(text, str) else text
    return list(read_ldif([raw], NAMES))


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
    assert [(entry.line, entry.texts("cn")) for entry in entries if isinstance(entry, Entry)] == [
        (2, ["Barbara Jensen", "Barbara J Jensen", "Babs Jensen"]),
        (10, ["Bjorn Jensen"]),
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


def test_text_that_should_have_been_base64_is_read_as_utf8():
    assert only("dn: cn=a\ncn: Åsa\n").texts("cn") == ["Åsa"]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("cn:: //4AQg==", "cn in line 2 is not UTF-8 text"),
        ("cn:: w4V*", "cn in line 2 is not valid base64"),
        ("cn:: w4VzY", "cn in line 2 is not valid base64"),
        ("commonName:< file:///a", "commonname in line 2 is given by a URL, which is not fetched"),
        (f"cn: {'A' * (1 << 20)}", "cn in line 2 is too long"),
        ("cn: A" + "\n A" * (1 << 20), "cn in line 2 is too long"),
    ],
)
def test_a_value_that_cannot_be_read_matters_only_where_it_is_used(line: str, reason: str):
    entry = only(f"dn: cn=a\n{line}\nmail: a@example.org\n")
    assert entry.texts("mail") == ["a@example.org"]
    with pytest.raises(BrokenValue) as error:
        entry.texts("cn")
    assert str(error.value) == reason


def test_texts_are_trimmed_and_empty_or_repeated_ones_left_out():
    assert only("dn: cn=a\nmail:\nmail:  a@example.com \nmail: a@example.com\n").texts("mail") == [
        "a@example.com"
    ]


@pytest.mark.parametrize(
    "line",
    [
        "userPassword:: *** no base64 ***",
        "userPassword: {SSHA}c2VjcmV0",
        "jpegPhoto:< file:///etc/passwd",
        "cn;lang-ja:: ***",
        "cn;lang-de_DE: Å",
        "memberOf;range=0-1499: cn=staff",
        "msDS-Custom_Name: x",
        "1.2.840.113556.1.4.1: x",
        "ou;binary:: *",
        b"note: \xff\xfe\x00",
        b"caf\xc3\xa9: x",
        b"jpegPhoto: " + b"x" * (1 << 21),
    ],
)
def test_nothing_that_is_not_read_is_judged(line: str | bytes):
    raw = line.encode() if isinstance(line, str) else line
    (entry,) = read(b"dn: cn=a\n" + raw + b"\ncn: A\n")
    assert isinstance(entry, Entry)
    assert list(entry.values) == ["cn"]


def test_a_value_that_is_not_read_takes_no_memory_however_long_it_is():
    folded = [b" " + b"x" * 63 + b"\n"] * 1024
    chunks = itertools.chain([b"dn: cn=a\njpegPhoto:: x\n"], folded * 300, [b"cn: A\n"])
    tracemalloc.start()
    try:
        (entry,) = read_ldif(chunks, NAMES)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert isinstance(entry, Entry)
    assert entry.texts("cn") == ["A"]
    assert peak < 5_000_000


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
        ("dn: cn=a\nmail : a@example.org\n", "line 2 is not of the form attribute: value"),
        ("dn: cn=a\nma\0il: a\n", "line 2 is not of the form attribute: value"),
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


@given(
    values=st.lists(st.binary(max_size=60), min_size=1, max_size=4),
    width=st.integers(1, 80),
    end=st.sampled_from([b"\n", b"\r\n", b"\r", b"\r\r\n"]),
)
def test_all_written_values_are_read_back(values: list[bytes], width: int, end: bytes):
    texts = [value.hex() + "é" for value in values]
    lines = [b"dn: cn=a"] + [b"cn:: " + b64encode(text.encode()) for text in texts]
    folded = b"".join(
        (end + b" ").join(line[at : at + width] for at in range(0, len(line), width)) + end
        for line in lines
    )
    assert only(folded).texts("cn") == list(dict.fromkeys(texts))


@given(st.binary(max_size=300))
def test_any_bytes_are_read_as_entries_or_say_what_is_wrong(raw: bytes):
    found = read(raw)
    assert found
    assert all(entry.line >= 1 for entry in found if not isinstance(entry, FileProblem))
