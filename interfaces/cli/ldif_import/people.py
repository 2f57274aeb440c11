"""Which entries of a directory are people, and the user that each of them becomes."""

import unicodedata
from collections.abc import Iterable, Iterator
from typing import Final

from msgspec import Struct

from interfaces.cli.ldif_import.ldif import BrokenEntry, Entry, read_ldif

Values = str | list[str]

# All attributes that are read, by usual name, with their other names in LDAP schemas. Others are
# never read: pictures, certificates and, above all, credentials (userPassword, authPassword,
# sambaNTPassword, krbPrincipalKey and similar ones).
_IDENTITY: Final = {
    "objectclass": "objectClass",
    "displayname": "displayName",
    "cn": "cn",
    "commonname": "cn",
    "mail": "mail",
    "rfc822mailbox": "mail",
    "entryuuid": "entryUUID",
}
_ATTRIBUTES: Final = {
    "givenname": "givenName",
    "gn": "givenName",
    "sn": "sn",
    "surname": "sn",
    "uid": "uid",
    "userid": "uid",
    "employeenumber": "employeeNumber",
    "employeetype": "employeeType",
    "title": "title",
    "department": "department",
    "departmentnumber": "departmentNumber",
    "company": "company",
    "o": "o",
    "organizationname": "o",
    "ou": "ou",
    "organizationalunitname": "ou",
    "telephonenumber": "telephoneNumber",
    "mobile": "mobile",
    "mobiletelephonenumber": "mobile",
    "facsimiletelephonenumber": "facsimileTelephoneNumber",
    "roomnumber": "roomNumber",
    "physicaldeliveryofficename": "physicalDeliveryOfficeName",
    "street": "street",
    "streetaddress": "street",
    "postalcode": "postalCode",
    "l": "l",
    "localityname": "l",
    "st": "st",
    "stateorprovincename": "st",
    "c": "c",
    "countryname": "c",
    "preferredlanguage": "preferredLanguage",
}
OTHER_MAIL: Final = "otherMail"
READ_NAMES: Final = _IDENTITY | _ATTRIBUTES
# The attributes of a user that an import sets and removes; it never changes others.
MANAGED: Final = (OTHER_MAIL, *dict.fromkeys(_ATTRIBUTES.values()))

_PERSON: Final = frozenset({"person", "organizationalperson", "inetorgperson", "user"})
_THINGS: Final = {
    "computer": "computers",
    "device": "computers",
    "groupofnames": "groups",
    "groupofuniquenames": "groups",
    "groupofmembers": "groups",
    "groupofurls": "groups",
    "posixgroup": "groups",
    "group": "groups",
    "organizationalunit": "organizational units",
    "organization": "organizations",
    "domain": "domains",
    "dcobject": "domains",
}


class Person(Struct, frozen=True, kw_only=True):
    """An entry as a user; `external_id` is None if the entry has no stable id."""

    line: int
    name: str
    email: str
    external_id: str | None
    attributes: dict[str, Values]


class Refused(Struct, frozen=True):
    """An entry that should be imported but cannot be."""

    line: int
    reason: str


class NotAPerson(Struct, frozen=True):
    """An entry of another kind; `what` is the kind in the plural."""

    line: int
    what: str


def read_people(lines: Iterable[bytes]) -> Iterator[Person | Refused | NotAPerson]:
    """Each entry of an LDIF file, in file order; raises `UnknownVersion`."""
    for entry in read_ldif(lines, READ_NAMES):
        if isinstance(entry, BrokenEntry):
            yield Refused(entry.line, entry.reason)
            continue
        try:
            yield _meaning(entry)
        except UnicodeDecodeError:
            yield Refused(entry.line, "a value is not UTF-8 text")


def _meaning(entry: Entry) -> Person | Refused | NotAPerson:
    mails = [_composed(mail) for mail in entry.texts("mail")]
    thing = _thing(entry, has_mail=bool(mails))
    if thing is not None:
        return NotAPerson(entry.line, thing)
    name = _name(entry)
    if not mails:
        return Refused(entry.line, "the entry has no mail")
    if not name:
        return Refused(entry.line, "the entry has no displayName, cn, givenName or sn")
    attributes = {key: texts for key in MANAGED if (texts := entry.texts(key))}
    if others := list(dict.fromkeys(mails[1:])):
        attributes[OTHER_MAIL] = others
    return Person(
        line=entry.line,
        name=_composed(name),
        email=mails[0],
        external_id=_first(entry, "entryUUID", "employeeNumber", "uid"),
        attributes={key: one_or_all(texts) for key, texts in attributes.items()},
    )


def _thing(entry: Entry, *, has_mail: bool) -> str | None:
    """The kind of an entry that is not a person; without a class, a mail makes it a person."""
    classes = {text.lower() for text in entry.texts("objectClass")}
    if classes & _PERSON and "computer" not in classes:
        return None
    if not classes and has_mail:
        return None
    return next((_THINGS[name] for name in _THINGS if name in classes), "other entries")


def _name(entry: Entry) -> str | None:
    both = (_first(entry, "givenName"), _first(entry, "sn"))
    return _first(entry, "displayName", "cn") or " ".join(filter(None, both))


def _first(entry: Entry, *names: str) -> str | None:
    """The first value of the first of the attributes that has one."""
    return next((text for name in names for text in entry.texts(name)), None)


def _composed(text: str) -> str:
    """In NFC, as the server stores names and addresses, so that they compare equal."""
    return unicodedata.normalize("NFC", text)


def one_or_all(texts: list[str]) -> Values:
    return texts[0] if len(texts) == 1 else texts
