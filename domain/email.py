"""Checks and comparison of e-mail addresses, without DNS look-ups."""

import re
import unicodedata
from functools import lru_cache
from typing import Final

import idna
from email_validator import EmailNotValidError, validate_email

from domain.errors import InvalidValue
from domain.text import has_invisible, tidied

MAX_EMAIL_LENGTH: Final = 254

# Nearly all addresses: a dot-atom of ASCII (RFC 5322, section 3.2.3) at a domain without
# internationalised labels. Only the domain is then checked, and the result is cached.
_PLAIN: Final = re.compile(
    r"[a-z0-9_!#$%&'*+\-/=?^`{|}~]+(?:\.[a-z0-9_!#$%&'*+\-/=?^`{|}~]+)*@((?:(?!xn--)[a-z0-9.-])+)",
    re.IGNORECASE | re.ASCII,
)
# A domain that is not ASCII any more in this form is not valid in IDNA.
_SOUGHT: Final = re.compile(r"[^\s@]+@[a-z0-9-]+(?:\.[a-z0-9-]+)+")
_KNOWN_DOMAINS: Final = 4096


def tidied_address(raw: str) -> str:
    """The address as typed, trimmed and in NFC. Raises `InvalidValue`."""
    address = tidied(raw, "An e-mail address", MAX_EMAIL_LENGTH)
    _check(address)
    if not address.isascii():
        if has_invisible(address):
            raise InvalidValue("An e-mail address must not contain invisible characters.")
        try:
            _check_comparable(comparable_address(address))
        except InvalidValue:
            # A full-width @ or an ellipsis stands for characters that may not be there.
            raise InvalidValue(
                "The e-mail address is not one any more in the form in which it is compared."
            ) from None
    return address


def sought_address(raw: str) -> str:
    """The comparable form of an address that may have been registered. Raises `InvalidValue`."""
    address = tidied(raw, "An e-mail address", MAX_EMAIL_LENGTH)
    if address.isascii():
        _check(address)
        return comparable_address(address)
    comparable = comparable_address(address)
    if _SOUGHT.fullmatch(comparable) is None:
        raise InvalidValue("The e-mail address is not valid.")
    return comparable


def comparable_address(address: str) -> str:
    """The form that all spellings of one address share: NFKC and casefold, the domain in IDNA.

    Never fails, so that an accepted address can always be compared, also if a later version of a
    library would refuse it.
    """
    local, _, domain = address.rpartition("@")
    return f"{_folded(local)}@{_ascii_domain(domain)}"


def _check(address: str) -> None:
    plain = _PLAIN.fullmatch(address)
    if plain is not None and _is_domain(plain[1]):
        return
    try:
        validate_email(address, check_deliverability=False, allow_smtputf8=True)
    except EmailNotValidError as error:
        # The text after a colon or a bracket may repeat parts of the address.
        reason = str(error).partition(": ")[0].partition(" (")[0].rstrip(".")
        raise InvalidValue(f"{reason}.") from None


def _check_comparable(address: str) -> None:
    """The domain was checked before it was brought into IDNA, which takes long for many labels."""
    local, _, domain = address.rpartition("@")
    _check(f"{local}@example.org" if domain.isascii() else address)
    if len(address) > MAX_EMAIL_LENGTH:
        raise InvalidValue("The e-mail address is too long.")


@lru_cache(_KNOWN_DOMAINS)
def _is_domain(domain: str) -> bool:
    try:
        validate_email(f"a@{domain}", check_deliverability=False)
    except EmailNotValidError:
        return False
    return True


def _folded(local: str) -> str:
    """NFKC, then casefold and NFKC until nothing changes, because each can undo the other."""
    folded = unicodedata.normalize("NFKC", local)
    while (again := unicodedata.normalize("NFKC", folded.casefold())) != folded:
        folded = again
    return folded


def _ascii_domain(domain: str) -> str:
    if domain.isascii():
        return domain.lower()
    try:
        return idna.encode(domain, uts46=True).decode("ascii")
    except idna.IDNAError:
        return _folded(domain)
