"""The sender of all mails: a name for people and an address."""

import re
from email.utils import getaddresses
from typing import Final, Self

import idna
from msgspec import Struct

# A dot-atom of ASCII (RFC 5322, section 3.2.3): with other characters in the sender, a mail server
# without SMTPUTF8 (RFC 6531) would accept no mail at all.
_LOCAL: Final = re.compile(r"[\w!#$%&'*+\-/=?^`{|}~]+(?:\.[\w!#$%&'*+\-/=?^`{|}~]+)*", re.ASCII)
_MAX_LENGTH: Final = 254
_MUST_BE: Final = "must be an address like no-reply@example.org or Example <no-reply@example.org>"


class Sender(Struct, frozen=True):
    """`address` is ASCII, its domain in IDNA form. `name` is empty if only an address is given."""

    name: str
    address: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """From `address` or `name <address>` (RFC 5322, section 3.4). Raises `ValueError`.

        Unlike the addresses of users, the domain may be one that only a private network knows.
        """
        found = getaddresses([text]) if text.isprintable() else []
        if len(found) != 1:
            raise ValueError(_MUST_BE)
        ((name, address),) = found
        local, _, domain = address.rpartition("@")
        if not _LOCAL.fullmatch(local):
            raise ValueError(_MUST_BE)
        try:
            address = f"{local}@{idna.encode(domain, uts46=True).decode('ascii')}"
        except idna.IDNAError:
            raise ValueError(_MUST_BE) from None
        if len(address) > _MAX_LENGTH:
            raise ValueError(_MUST_BE)
        return cls(name.strip(), address)

    @property
    def domain(self) -> str:
        """The domain of the address."""
        return self.address.rpartition("@")[2]

    @property
    def shown(self) -> str:
        """How the texts of mails name the sender: the name, else the domain."""
        return self.name or self.domain
