"""Which entries are people, and which user each of them describes."""

import re
from typing import Any

import pytest

from interfaces.cli.ldif_import.ldif import FileProblem
from interfaces.cli.ldif_import.people import MANAGED, READ_NAMES, read_people
from interfaces.cli.ldif_import.rows import NotAPerson, Person, Refused

CREDENTIAL = re.compile(
    "pass|pwd|secret|hash|key|cred|token|cert|photo|otp|pin$|2\\.5\\.4\\.35", re.IGNORECASE
)


def one(*lines: str) -> Person | Refused | NotAPerson | FileProblem:
    (row,) = read_people(line.encode() + b"\n" for line in ("dn: cn=a", *lines))
    return row


def person(*lines: str) -> Person:
    row = one("objectClass: inetOrgPerson", *lines)
    assert isinstance(row, Person)
    return row


def test_a_person_is_what_the_entry_says():
    assert person(
        "entryUUID: 5c8b",
        "employeeNumber: E7",
        "uid: asa",
        "displayName:: w4VzYSBMaW5kc3Ryw7Zt",
        "cn: Asa",
        "mail: Asa@Example.org",
        "mail: asa@mail.example.org",
        "mail: a.l@example.org",
        "telephoneNumber: +46 40 555 0001",
        "mobile: +46 70 555 0001",
        "mobile: +46 70 555 0002",
        "l:: TWFsbcO2",
        "userPassword: {SSHA}c2VjcmV0",
        "description: not read",
    ) == Person(
        line=1,
        name="Åsa Lindström",
        email="Asa@Example.org",
        external_id="5c8b",
        attributes={
            "uid": "asa",
            "employeeNumber": "E7",
            "telephoneNumber": "+46 40 555 0001",
            "mobile": ["+46 70 555 0001", "+46 70 555 0002"],
            "l": "Malmö",
            "otherMail": ["asa@mail.example.org", "a.l@example.org"],
        },
        other_keys=("E7", "asa"),
        is_key_unique=True,
    )


@pytest.mark.parametrize(
    ("lines", "name"),
    [
        (["displayName: D", "cn: C", "givenName: G", "sn: S"], "D"),
        (["cn: C", "cn: Other", "givenName: G", "sn: S"], "C"),
        (["givenName: G", "sn: S"], "G S"),
        (["sn: S"], "S"),
        (["displayName:", "cn: C"], "C"),
        (["commonName: C"], "C"),
        (["gn: G", "surname: S"], "G S"),
        (["cn:: Wm9lzIg="], "Zoë"),
    ],
)
def test_the_name_is_the_first_attribute_present(lines: list[str], name: str):
    assert person(*lines, "mail: a@example.org").name == name


@pytest.mark.parametrize(
    ("lines", "external_id"),
    [
        (["uid: u", "employeeNumber: E", "entryUUID: U"], "U"),
        (["uid: u", "employeeNumber: E"], "E"),
        (["uid: u"], "u"),
        ([], None),
    ],
)
def test_the_external_id_is_the_stablest_attribute_present(
    lines: list[str], external_id: str | None
):
    row = person(*lines, "cn: A", "mail: a@example.org")
    assert row.external_id == external_id
    assert row.is_key_unique == (external_id == "U")


@pytest.mark.parametrize("name", ["person", "OrganizationalPerson", "inetOrgPerson", "USER"])
def test_any_person_class_makes_a_person(name: str):
    row = one("objectClass: top", f"objectClass: {name}", "cn: A", "mail: a@example.org")
    assert isinstance(row, Person)


def test_an_entry_without_a_class_is_a_person_if_it_has_a_mail():
    assert isinstance(one("cn: A", "mail: a@example.org"), Person)
    assert one("cn: A") == NotAPerson(1, "other entries")


@pytest.mark.parametrize(
    ("classes", "what"),
    [
        (["top", "groupOfNames"], "groups"),
        (["top", "group", "acmeStaff"], "groups"),
        (["groupOfUniqueNames"], "groups"),
        (["posixGroup"], "groups"),
        (["organizationalUnit"], "organizational units"),
        (["dcObject", "organization"], "organizations"),
        (["domain"], "domains"),
        (["person", "user", "computer"], "computers"),
        (["applicationProcess"], "other entries"),
    ],
)
def test_an_entry_that_is_no_person_is_counted_by_its_kind(classes: list[str], what: str):
    lines = [f"objectClass: {name}" for name in classes]
    assert one(*lines, "cn: A", "mail: a@example.org") == NotAPerson(1, what)


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        (["cn: A"], "the entry has no mail"),
        (["cn: A", "mail:"], "the entry has no mail"),
        (["mail: a@example.org"], "the entry has no displayName, cn, givenName or sn"),
        (["cn:: //4=", "mail: a@example.org"], "cn in line 3 is not UTF-8 text"),
        (["cn:: *", "mail: a@example.org"], "cn in line 3 is not valid base64"),
    ],
)
def test_a_person_that_cannot_be_imported_is_refused_with_a_reason(lines: list[str], reason: str):
    assert one("objectClass: person", *lines) == Refused(1, reason)


def test_an_entry_of_an_unknown_class_with_name_and_mail_is_a_person_with_a_warning():
    row = one("objectClass: acmeStaff", "cn: A", "mail: a@example.org")
    assert isinstance(row, Person)
    assert row.warning is not None
    assert person("objectClass: acmeStaff", "cn: A", "mail: a@example.org").warning is None
    for lines in (["cn: A"], ["mail: a@example.org"]):
        assert one("objectClass: acmeStaff", *lines) == NotAPerson(1, "other entries")


@pytest.mark.parametrize(
    "lines",
    [
        ["member;range=0-1499: cn=a"],
        ["cn:: *"],
        ["mail:: //4="],
        ["displayName:< file:///a"],
        ["mail: " + "x" * (1 << 20)],
    ],
)
def test_a_group_is_a_group_whatever_else_it_says(lines: list[str]):
    assert one("objectClass: groupOfNames", *lines) == NotAPerson(1, "groups")


def test_a_name_that_is_not_needed_is_not_judged():
    assert person("displayName: A", "cn:: *", "mail: a@example.org").name == "A"
    names = ["memberOf;range=0-1499: cn=x", "displayName;lang-de:: *", "cn: A"]
    assert person(*names, "mail: a@example.org").name == "A"


def test_nothing_that_may_be_a_credential_is_ever_read():
    assert [name for name in READ_NAMES if CREDENTIAL.search(name)] == []
    assert [name for name in MANAGED if CREDENTIAL.search(name)] == []


def test_the_same_mail_twice_is_one_mail():
    attributes: dict[str, Any] = person(
        "cn: A", "mail: a@example.org", "mail: b@example.org", "mail: b@example.org"
    ).attributes
    assert attributes == {"otherMail": "b@example.org"}
