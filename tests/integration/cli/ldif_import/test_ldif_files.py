"""LDIF files as wholes: line ends, encodings, several files in one, and files that are cut off."""

import pytest

from interfaces.cli.ldif_import.ldif import BrokenEntry, Entry, FileProblem, read_ldif

NAMES = {"cn": "cn", "mail": "mail"}
TWO = "version: 1\n\n# people\ndn: cn=a\ncn: Åsa\n  B\nmail: a@example.org\n\ndn: cn=b\ncn: Bo\n"
CUT = "the last line of the file has no line end: the file may be cut off"
RESULT = "\n# search result\nsearch: 2\nresult: {}\n\n# numResponses: 2\n# numEntries: 1\n"


def read(raw: bytes | str, size: int = 1 << 16) -> list[Entry | BrokenEntry | FileProblem]:
    raw = raw.encode() if isinstance(raw, str) else raw
    return list(read_ldif([raw[at : at + size] for at in range(0, len(raw), size)], NAMES))


def names(raw: bytes | str, size: int = 1 << 16) -> list[tuple[int, list[str]] | str]:
    """The line and the names of each entry, or what is wrong."""
    return [
        (found.line, found.texts("cn")) if isinstance(found, Entry) else found.reason
        for found in read(raw, size)
    ]


BOTH = [(4, ["Åsa B"]), (9, ["Bo"])]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1 << 16])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "\r\r\n"])
def test_lines_end_as_any_system_ends_them_in_pieces_of_any_size(end: str, size: int):
    assert names(TWO.replace("\n", end), size) == BOTH


def test_line_ends_may_change_in_the_middle_of_a_file():
    first, second = TWO.split("\n\ndn: cn=b")
    mixed = first + "\r\n\ndn: cn=b" + second.replace("\n", "\r")
    assert names(mixed) == BOTH


@pytest.mark.parametrize("size", [1, 3, 1 << 16])
@pytest.mark.parametrize(
    "encoding", ["utf-8-sig", "utf-16", "utf-32"], ids=["UTF-8", "UTF-16", "UTF-32"]
)
def test_a_byte_order_mark_says_the_encoding(encoding: str, size: int):
    assert names(TWO.encode(encoding), size) == BOTH
    assert names(("\ufeff" + TWO).encode("utf-16-be"), size) == BOTH


def test_text_of_another_encoding_without_a_mark_is_refused_with_its_line():
    assert [
        reason for reason in names(TWO.encode("utf-16-le")) if not isinstance(reason, str)
    ] == []
    assert names(TWO.encode("utf-16-le"))[0] == "line 1 is not of the form attribute: value"


@pytest.mark.parametrize("cut", [1, 2, 3])
def test_text_that_does_not_have_the_encoding_of_its_mark_is_said(cut: int):
    raw = TWO.encode("utf-32")[:-cut]
    assert names(raw)[-1] == "the file is not valid UTF-32, or it is cut off"


@pytest.mark.parametrize(
    "text", ["", "\n\n", "# nothing\n", "version: 1\n", "\ufeff", RESULT.format("0 Success")]
)
def test_a_file_without_entries_is_a_problem(text: str):
    assert names(text) == ["the file has no entries"]


@pytest.mark.parametrize(
    "raw",
    [
        b'{"name": "Zoe"}\n',
        b"name;mail\nZoe;zoe@example.org\n",
        b"\x1f\x8b\x08\x00\x00",
        b"\x00" * 5000,
        b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n",
        b"x" * (1 << 21),
        b"Dear all: this is a letter.\rGreetings: Zoe\r",
    ],
)
def test_a_file_that_is_no_ldif_is_refused_with_its_line(raw: bytes):
    (only,) = read(raw)
    assert isinstance(only, BrokenEntry)
    assert only.line == 1


@pytest.mark.parametrize("end", range(len(TWO.encode()) - 1, 0, -1))
def test_a_file_that_is_cut_off_never_passes_for_a_whole_one(end: int):
    """Only where it ends with a line can a part not be told from a whole."""
    raw = TWO.encode()[:end]
    *_, last = read(raw)
    has_line_end = raw.endswith((b"\n",))
    if not has_line_end:
        assert not isinstance(last, Entry) or raw.rpartition(b"\n")[2].startswith(b"#")


def test_the_last_entry_is_refused_if_its_last_line_has_no_end():
    assert names(TWO[:-1]) == [BOTH[0], CUT]
    assert names(TWO + "\n# the end") == BOTH
    assert names(TWO + "userPassword:: e1NT") == [BOTH[0], CUT]


@pytest.mark.parametrize(
    ("result", "meaning"),
    [
        ("4 Size limit exceeded", "size limit exceeded"),
        ("3 Time limit exceeded", "time limit exceeded"),
        ("11 Administrative limit exceeded", "administrative limit exceeded"),
        ("4", "size limit exceeded"),
        ("53 Server is unwilling", "a code other than success"),
        ("", "a code other than success"),
    ],
)
@pytest.mark.parametrize("is_cut", [False, True])
def test_a_search_that_did_not_give_all_entries_is_a_problem(
    result: str, meaning: str, is_cut: bool
):
    text = TWO + RESULT.format(result)
    if is_cut:
        text = text.partition("\n\n# num")[0]
    line = 1 + text[: text.index("\nresult")].count("\n") + 1
    assert names(text) == [
        *BOTH,
        f"entries are missing: by line {line} the search ended with {meaning}",
    ]


def test_a_result_without_a_blank_line_before_it_is_none_of_the_entry():
    assert names(f"{TWO}search: 2\nresult: 4 Size limit exceeded\n") == [
        *BOTH,
        "entries are missing: by line 12 the search ended with size limit exceeded",
    ]


def test_a_search_in_pages_is_whole_if_each_page_is():
    page = RESULT.format("0 Success\ncontrol: 1.2.840.113556.1.4.319 false MAA=\npagedresults: x")
    assert names(TWO + page + "\n" + TWO.partition("\n\n")[2] + page) == [
        *BOTH,
        (22, ["Åsa B"]),
        (27, ["Bo"]),
    ]
    failed = RESULT.format("4 Size limit exceeded") + RESULT.format("0 Success")
    assert "size limit exceeded" in str(names(TWO + failed)[-1])


def test_a_search_without_its_result_was_cut_off():
    missing = "entries may be missing, because the file has no result of its search"
    searched = "# extended LDIF\n#\n# LDAPv3\n\n" + TWO.partition("\n\n")[2]
    assert names(searched)[-1] == missing
    assert names(searched + RESULT.format("0 Success") + searched)[-1] == missing
    assert names(searched + searched + RESULT.format("0 Success"))[-1] == missing
    assert missing not in names(searched + RESULT.format("0 Success"))


def test_references_to_other_servers_are_no_entries():
    assert names(TWO + "\n# search reference\nref: ldap://example.org/dc=example??sub\n") == BOTH


@pytest.mark.parametrize("again", ["version: 1\n\n", "version: 1\n", "\ufeffVersion: 1\n\n"])
def test_several_files_may_stand_in_one(again: str):
    rest = TWO.partition("\n\n")[2]
    line = 12 + again.count("\n") + 1
    assert names(f"{TWO}\n{again}{rest}") == [*BOTH, (line, ["Åsa B"]), (line + 5, ["Bo"])]


@pytest.mark.parametrize("version", ["version: 2\n", "# a comment\nVersion: one\n"])
def test_entries_of_another_version_are_not_read(version: str):
    line = version.count("\n")
    assert names(f"{version}\n{TWO}") == [f"line {line}: the file is not LDIF of version 1"]
    line += 11
    assert names(f"{TWO}\n{version}\n{TWO}") == [
        *BOTH,
        f"line {line}: the file is not LDIF of version 1",
    ]
