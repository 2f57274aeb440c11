"""Which entries of a directory are people, and the user that each of them becomes."""

import unicodedata
from collections.abc import Iterable, Iterator
from typing import Final

from interfaces.cli.ldif_import.ldif import (
    BrokenEntry,
    BrokenValue,
    Entry,
    FileProblem,
    read_ldif,
)
from interfaces.cli.ldif_import.rows import NotAPerson, Person, Refused, Values

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
    "msexchdynamicdistributionlist": "groups",
    "applicationprocess": "other entries",
    "room": "other entries",
}
_UNKNOWN_CLASS: Final = "its object classes are not known: read as a person, for its name and mail"

# RFC 4530: no two entries ever have the same entryUUID. Nothing says this of the others.
_UNIQUE_KEY: Final = "entryUUID"
_KEYS: Final = (_UNIQUE_KEY, "employeeNumber", "uid")


def read_people(chunks: Iterable[bytes]) -> Iterator[Person | Refused | NotAPerson | FileProblem]:
    """Each entry of an LDIF file, in file order, then the problems of the file."""
    for entry in read_ldif(chunks, READ_NAMES):
        match entry:
            case Entry():
                try:
                    yield _meaning(entry)
                except BrokenValue as broken:
                    yield Refused(entry.line, str(broken))
            case BrokenEntry():
                yield Refused(entry.line, entry.reason)
            case FileProblem():
                yield entry


def _meaning(entry: Entry) -> Person | Refused | NotAPerson:
    """What is not a person is known by its class; nothing else of it is read."""
    classes = {text.lower() for text in entry.texts("objectClass")}
    is_person = bool(classes & _PERSON) and "computer" not in classes
    thing = next((_THINGS[name] for name in _THINGS if name in classes), None)
    if thing is not None and not is_person:
        return NotAPerson(entry.line, thing)
    mails = [_composed(mail) for mail in entry.texts("mail")]
    name = _name(entry) if mails or is_person else None
    if not is_person and (not mails or (classes and not name)):
        return NotAPerson(entry.line, "other entries")
    if not mails:
        return Refused(entry.line, "the entry has no mail")
    if not name:
        return Refused(entry.line, "the entry has no displayName, cn, givenName or sn")
    attributes = {key: texts for key in MANAGED if (texts := entry.texts(key))}
    if others := list(dict.fromkeys(mails[1:])):
        attributes[OTHER_MAIL] = others
    keys = [text for key in _KEYS for text in entry.texts(key)]
    return Person(
        line=entry.line,
        name=_composed(name),
        email=mails[0],
        external_id=keys[0] if keys else None,
        attributes={key: one_or_all(texts) for key, texts in attributes.items()},
        other_keys=tuple(keys[1:]),
        is_key_unique=bool(entry.texts(_UNIQUE_KEY)),
        warning=_UNKNOWN_CLASS if classes and not is_person else None,
    )


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
